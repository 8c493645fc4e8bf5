//! Runs `lockgate-bench` as a process in a temporary folder.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The program, in a temporary folder of its own.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// Creates an empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Runs a command line that must succeed, and returns its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout
    }

    /// Runs a command line that must succeed, and returns its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// Runs a command line that must fail with this exit code, and returns its error.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(code), 0), "{arguments:?}: {stderr}");
        stderr
    }

    /// Starts a command line, and does not wait for its end.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Polls a condition until it holds. Each poll starts a process, so a thousand polls are the deadline.
    pub(crate) fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let mut poll = || {
            self.ok(&["--version"]);
            condition()
        };
        assert!((0..1_000).any(|_| poll()), "never became true: {what}");
    }

    /// Writes a file in the folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The names of all files in the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate-bench"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }
}

/// Sends SIGTERM.
pub(crate) fn terminate(process: &Child) {
    let sent = Command::new("kill").args(["-s", "TERM", &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}
