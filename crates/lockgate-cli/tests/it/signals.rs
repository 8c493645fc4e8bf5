//! Tests SIGTERM and SIGINT: the first starts a drain, the second ends the process immediately.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use crate::greeter::Greeter;

/// Starts a worker, and returns when it runs ten jobs that take this long.
fn busy_worker(greeter: &Greeter, job_time: &str) -> (Child, BufReader<ChildStderr>) {
    greeter.ok(&["enqueue", "--run", "party"]);
    let setting = format!("greeter.takes={job_time}");
    let mut command = greeter.command(&["work", "--set", &setting]);
    let mut worker = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    greeter.eventually("ten slots are held", || greeter.json(&["slots", "show"])["pools"][0]["held"] == 10);
    let stderr = BufReader::new(worker.stderr.take().unwrap());
    (worker, stderr)
}

pub(crate) fn send(worker: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &worker.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn wait_for(stderr: &mut BufReader<ChildStderr>, part: &str) {
    let printed = stderr.lines().any(|line| line.unwrap().contains(part));
    assert!(printed, "it ended without printing {part:?}");
}

#[test]
fn running_jobs_finish_after_the_first_signal() {
    let greeter = Greeter::new();
    let (mut worker, mut stderr) = busy_worker(&greeter, "2s");
    send(&worker, "TERM");
    wait_for(&mut stderr, "stopping: running jobs finish");
    let ended = worker.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(greeter.json(&["runs", "verify", "party"])["succeeded"], 10);
    assert_eq!(greeter.json(&["slots", "show"])["pools"][0]["in_use"], 0);
}

#[test]
fn second_signal_ends_the_process_within_a_second() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let greeter = Greeter::new();
        let (mut worker, mut stderr) = busy_worker(&greeter, "60s");
        send(&worker, signal);
        wait_for(&mut stderr, "a second signal stops immediately");
        let sent = now();
        send(&worker, signal);
        assert_eq!(worker.wait().unwrap().code(), Some(code));
        assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
        assert_eq!(greeter.json(&["runs", "verify", "party"])["balanced"], true);
    }
}

#[expect(clippy::disallowed_methods, reason = "measures another process, for which no clock can be paused")]
fn now() -> Instant {
    Instant::now()
}
