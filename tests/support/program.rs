//! The program under test, run as a user runs it: a binary, in a private folder, with a private database.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::Result;
use crate::wait::eventually;

/// A private folder with a database, and the program that works on it.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// A new, empty folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The program with these arguments, in this folder, on its database; nothing of the caller's environment that
    /// would configure it.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary("spike-projection"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("LOCKGATE__")) {
            command.env_remove(name);
        }
        command.env("LOCKGATE__EMBEDDED__PATH", self.path("lockgate.db")).env("NO_COLOR", "1");
        command
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Ended> {
        Ended::of(&mut self.command(args), args)
    }

    /// Runs the program with this standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<Ended> {
        let file = self.write("stdin.txt", input)?;
        Ended::of(self.command(args).stdin(std::fs::File::open(file)?), args)
    }

    /// Runs the program to its end, which must be a success, and reads its JSON.
    ///
    /// # Errors
    /// When it does not succeed, or prints no JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let ended = self.run(&all)?;
        ended.succeeded()?.json()
    }

    /// Starts the program and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, args: &[&str]) -> Result<Running> {
        let log = std::fs::File::options().create(true).append(true).open(self.path("processes.log"))?;
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(log);
        Ok(Running { child: command.spawn().with_context(|| format!("starting {args:?}"))? })
    }
}

/// A program of this workspace, found beside the tests' own binary.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap_or_default();
    let folder = tests.parent().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; run tests/run, or cargo build first", path.display());
    path
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// How it was called.
    pub args: Vec<String>,
}

impl Ended {
    /// Runs a command to its end; `args` are what it is called by in errors.
    ///
    /// # Errors
    /// When it cannot be started, or does not print text.
    pub fn of(command: &mut Command, args: &[&str]) -> Result<Self> {
        let output: Output = command.output().with_context(|| format!("running {args:?}"))?;
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
            args: args.iter().map(|&a| a.to_owned()).collect(),
        })
    }

    /// Itself, when it succeeded.
    ///
    /// # Errors
    /// When it did not, with everything it said.
    pub fn succeeded(&self) -> Result<&Self> {
        anyhow::ensure!(self.code == Some(0), "{self:#?}");
        Ok(self)
    }

    /// What it printed, as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {self:#?}"))
    }
}

/// A program that runs. It is killed when the test ends.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended and was seen to end.
    pub fn signal(&self, signal: Signal) -> Result {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills it as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        eventually("the process ends", within, || Ok(self.child.try_wait()?))
    }

    /// The first JSON value that it prints.
    ///
    /// # Errors
    /// When it prints none.
    pub fn first_json(&mut self) -> Result<Value> {
        let stdout = self.child.stdout.take().context("its output was read before")?;
        let mut values = serde_json::Deserializer::from_reader(std::io::BufReader::new(stdout)).into_iter();
        Ok(values.next().context("it printed nothing")??)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
