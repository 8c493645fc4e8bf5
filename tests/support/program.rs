//! The program under test, run as a user runs it: its binary in a scratch folder with its own database.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::Result;
use crate::wait::eventually;

/// A scratch folder with a database, in which the program runs.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// Creates an empty folder.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// Returns the path of a file in the folder.
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

    /// Returns a command that runs the program with these arguments in this folder, on its database, without
    /// configuration from the caller's environment.
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
    pub fn run(&self, args: &[&str]) -> Result<ProgramOutput> {
        ProgramOutput::of(&mut self.command(args), args)
    }

    /// Runs the program with this standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<ProgramOutput> {
        let file = self.write("stdin.txt", input)?;
        ProgramOutput::of(self.command(args).stdin(std::fs::File::open(file)?), args)
    }

    /// Runs the program, which must succeed, and parses its JSON output.
    ///
    /// # Errors
    /// When it fails, or does not print JSON.
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

/// Returns the path of a binary of this workspace, which is in the folder of the tests' own binary.
///
/// # Panics
/// When the binary is not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap_or_default();
    let folder = tests.parent().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; run tests/run, or cargo build first", path.display());
    path
}

/// The result of a finished program.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Arguments of the program.
    pub args: Vec<String>,
}

impl ProgramOutput {
    /// Runs a command to its end. `args` name it in errors.
    ///
    /// # Errors
    /// When it cannot be started, or its output is not UTF-8.
    pub fn of(command: &mut Command, args: &[&str]) -> Result<Self> {
        let output: Output = command.output().with_context(|| format!("running {args:?}"))?;
        Ok(Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
            args: args.iter().map(|&a| a.to_owned()).collect(),
        })
    }

    /// Returns itself if the program succeeded.
    ///
    /// # Errors
    /// When the program failed. The error has its output.
    pub fn succeeded(&self) -> Result<&Self> {
        anyhow::ensure!(self.code == Some(0), "{self:#?}");
        Ok(self)
    }

    /// Parses the standard output as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {self:#?}"))
    }
}

/// A running program, which is killed on drop.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Sends a signal to the program.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn signal(&self, signal: Signal) -> Result {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills the program as a crash would, and waits for its end.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        eventually("the process ends", within, || Ok(self.child.try_wait()?))
    }

    /// Returns the first JSON value that the program prints.
    ///
    /// # Errors
    /// When it prints no JSON.
    pub fn first_json(&mut self) -> Result<Value> {
        let stdout = self.child.stdout.take().context("the output was already read")?;
        let mut values = serde_json::Deserializer::from_reader(std::io::BufReader::new(stdout)).into_iter();
        Ok(values.next().context("it printed nothing")??)
    }

    /// Returns the process id.
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
