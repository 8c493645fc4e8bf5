//! The measuring of an engine, as a user runs it. What is measured is another machine's affair; that it adds up is not.
//!
//! It must never leave anything behind.

use std::process::Stdio;

use serde_json::Value;

use crate::greeter::Greeter;
use crate::signals::send;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_run_is_measured_with_its_slots_and_nothing_is_left() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let me = format!("me={}", std::process::id());
    let sizes =
        ["--jobs", "300", "--sleep", "2ms", "--slots", "4", "--processes", "2", "--concurrency", "20"];
    let report = greeter.json(&[&["bench", "--watch-pid", &me], &sizes[..]].concat());
    assert_eq!(
        (&report["succeeded"], &report["engine"], &report["slots"]),
        (&300.into(), &"embedded".into(), &4.into())
    );
    for rate in ["planned_per_second", "dispatched_per_second", "drained_per_second"] {
        assert!(number(&report[rate]) > 0.0, "{rate}: {report}");
    }
    let (held, working) = (number(&report["slots_held_percent"]), number(&report["slots_working_percent"]));
    assert!(0.0 < working && working <= held && held <= 100.1, "{report}");
    assert!(report["hand_off"]["count"].as_u64() > Some(100), "{report}");
    assert!(
        number(&report["hand_off"]["p50_us"]) <= number(&report["hand_off_to_work"]["p50_us"]),
        "{report}"
    );
    assert!(number(&report["wait"]["p50_us"]) <= number(&report["wait"]["p99_us"]), "{report}");
    // Four slots of at least two milliseconds each: no faster than 2,000 a second, whoever runs them.
    assert!(number(&report["drained_per_second"]) <= 2_000.0, "{report}");
    let costs: Vec<_> =
        report["costs"].as_array().unwrap().iter().map(|cost| cost["process"].clone()).collect();
    assert_eq!(costs, ["bench: plans, dispatches", "worker 1", "worker 2", "me"]);
    assert!(
        report["costs"].as_array().unwrap().iter().all(|cost| number(&cost["peak_bytes"]) > 0.0),
        "{report}"
    );
    assert_eq!(greeter.json(&["runs", "list"])["runs"].as_array().unwrap().len(), 1);
    assert!(!leaves_something(&greeter));
}

fn leaves_something(greeter: &Greeter) -> bool {
    let files = std::fs::read_dir(greeter.database().parent().unwrap()).unwrap();
    files.flatten().any(|file| file.file_name().to_string_lossy().contains("bench"))
}

#[test]
fn a_measurement_that_is_stopped_leaves_nothing_either() {
    let greeter = Greeter::new();
    let mut command = greeter.command(&["bench", "--jobs", "2", "--sleep", "10m"]);
    let mut bench = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    greeter.eventually("it has begun", || {
        greeter.ok(&["runs", "list"]);
        leaves_something(&greeter)
    });
    send(&bench, "TERM");
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert!(!leaves_something(&greeter));
}

#[test]
fn without_slots_there_is_nothing_to_hand_off() {
    let greeter = Greeter::new();
    let report = greeter.json(&["bench", "--jobs", "100", "--without-slots"]);
    assert_eq!(report["succeeded"], 100);
    for figure in ["slots", "slots_held_percent", "wait", "hand_off"] {
        assert_eq!(report[figure], Value::Null, "{figure}: {report}");
    }
    let table = greeter.ok(&["bench", "--jobs", "100"]);
    assert!(table.contains("100 jobs of 0 ms on the embedded engine, 50 slots"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn idle_workers_are_measured_too() {
    let report = Greeter::new().json(&["bench", "--idle", "500ms", "--processes", "2"]);
    assert_eq!((&report["idle_ms"], report["costs"].as_array().unwrap().len()), (&500.into(), 2));
    for cost in report["costs"].as_array().unwrap() {
        assert!(number(&cost["cpu_percent"]) >= 0.0 && number(&cost["resident_bytes"]) > 0.0, "{cost}");
    }
}

#[test]
fn a_measurement_that_makes_no_sense_is_refused() {
    let greeter = Greeter::new();
    for (arguments, part) in [
        (&["bench", "--watch-pid", "redis"][..], "NAME=PID"),
        (&["bench", "--watch-pid", "redis=4294967295"], "no process"),
        (&["bench", "--slots", "0"], "from 1 to"),
        (&["bench", "--without-slots", "--slots", "5"], "--slots"),
        (&["bench", "--split-slots", "--slots", "3", "--processes", "4"], "--slots 4"),
        (&["bench", "--split-slots", "--without-slots"], "--without-slots"),
        (&["bench", "--idle", "1s", "--jobs", "5"], "--idle"),
        (&["bench", "--idle", "1s", "--split-slots"], "--split-slots"),
    ] {
        let line = greeter.fails(arguments, 2);
        assert!(line.contains(part), "{arguments:?}: {line}");
    }
    assert!(!greeter.ok(&["--help"]).contains("bench-worker"));
}
