//! SIGTERM and SIGINT: the first drains, the second ends the process at once.
//!
//! They must never signal a process that they did not start.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::greeter::Greeter;

/// A worker in the middle of ten greetings that take so long.
fn busy_worker(greeter: &Greeter, takes: &str) -> (Child, BufReader<ChildStderr>) {
    greeter.ok(&["enqueue", "--run", "party"]);
    let takes = format!("greeter.takes={takes}");
    let mut command = greeter.command(&["work", "--set", &takes]);
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    greeter.eventually("ten slots are held", || greeter.json(&["slots", "show"])["pools"][0]["held"] == 10);
    let said = BufReader::new(worker.stderr.take().unwrap());
    (worker, said)
}

pub(crate) fn send(worker: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &worker.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn wait_for(said: &mut BufReader<ChildStderr>, part: &str) {
    let found = said.lines().any(|line| line.unwrap().contains(part));
    assert!(found, "it ended without saying {part:?}");
}

#[test]
fn after_the_first_signal_running_jobs_finish() {
    let greeter = Greeter::new();
    let (mut worker, mut said) = busy_worker(&greeter, "2s");
    send(&worker, "TERM");
    wait_for(&mut said, "stopping: running jobs finish");
    let ended = worker.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(greeter.json(&["runs", "verify", "party"])["succeeded"], 10);
    assert_eq!(greeter.json(&["slots", "show"])["pools"][0]["in_use"], 0);
}

#[test]
fn a_second_signal_ends_the_process_within_a_second() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let greeter = Greeter::new();
        let (mut worker, mut said) = busy_worker(&greeter, "60s");
        send(&worker, signal);
        wait_for(&mut said, "a second signal stops at once");
        let asked = now();
        send(&worker, signal);
        assert_eq!(worker.wait().unwrap().code(), Some(code));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(greeter.json(&["runs", "verify", "party"])["balanced"], true);
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is timed; no clock can be paused for it")]
fn now() -> Instant {
    Instant::now()
}
