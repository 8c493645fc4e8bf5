//! `lockgate-bench` as a user runs it. Its figures depend on the machine; the tests check that they are
//! consistent, and that a measurement leaves no file behind.

// Tells clippy that the helpers are test code too.
#![cfg(test)]

mod bench;

use serde_json::Value;

use bench::{Bench, terminate};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn measured_run_has_consistent_figures_and_leaves_no_file() {
    let bench = Bench::new();
    let me = format!("me={}", std::process::id());
    let sizes =
        ["--jobs", "300", "--sleep", "2ms", "--slots", "4", "--processes", "2", "--concurrency", "20"];
    let report = bench.json(&[&["run", "--watch-pid", &me], &sizes[..]].concat());
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
    // Four slots, each held for at least two milliseconds: at most 2,000 jobs a second.
    assert!(number(&report["drained_per_second"]) <= 2_000.0, "{report}");
    let costs: Vec<_> =
        report["costs"].as_array().unwrap().iter().map(|cost| cost["process"].clone()).collect();
    assert_eq!(costs, ["bench: plans, dispatches", "worker 1", "worker 2", "me"]);
    assert!(
        report["costs"].as_array().unwrap().iter().all(|cost| number(&cost["peak_bytes"]) > 0.0),
        "{report}"
    );
    assert_eq!(bench.files(), Vec::<String>::new());
}

#[test]
fn measurement_that_is_stopped_leaves_no_file() {
    let bench = Bench::new();
    let mut process = bench.start(&["run", "--jobs", "2", "--sleep", "10m"]);
    bench.eventually("the temporary folder exists", || !bench.files().is_empty());
    terminate(&process);
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert_eq!(bench.files(), Vec::<String>::new());
}

#[test]
fn without_slots_there_are_no_figures_of_slots() {
    let bench = Bench::new();
    let report = bench.json(&["run", "--jobs", "100", "--without-slots"]);
    assert_eq!(report["succeeded"], 100);
    for figure in ["slots", "slots_held_percent", "wait", "hand_off"] {
        assert_eq!(report[figure], Value::Null, "{figure}: {report}");
    }
    let table = bench.ok(&["run", "--jobs", "100"]);
    assert!(table.contains("100 jobs of 0 ms on the embedded engine, 50 slots"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn idle_workers_are_measured() {
    let report = Bench::new().json(&["run", "--idle", "500ms", "--processes", "2"]);
    assert_eq!((&report["idle_ms"], report["costs"].as_array().unwrap().len()), (&500.into(), 2));
    for cost in report["costs"].as_array().unwrap() {
        assert!(number(&cost["cpu_percent"]) >= 0.0 && number(&cost["resident_bytes"]) > 0.0, "{cost}");
    }
}

#[test]
fn sections_of_other_programs_in_the_config_are_accepted() {
    let bench = Bench::new();
    bench.write("lockgate.toml", "[runs]\nbatch_size = 10\n[mail]\nfrom = 'me'\nretries = { at_once = 3 }\n");
    assert_eq!(bench.json(&["run", "--jobs", "10"])["succeeded"], 10);
    bench.write("lockgate.toml", "[runs]\nbach_size = 10\n");
    let line = bench.fails(&["run", "--jobs", "10"], 78);
    assert!(line.contains("runs.bach_size") && line.contains("batch_size"), "{line}");
}

#[test]
fn invalid_command_line_is_refused_with_the_remedy() {
    let bench = Bench::new();
    for (arguments, part) in [
        (&["run", "--watch-pid", "redis"][..], "NAME=PID"),
        (&["run", "--watch-pid", "redis=4294967295"], "no process"),
        (&["run", "--slots", "0"], "from 1 to"),
        (&["run", "--without-slots", "--slots", "5"], "--slots"),
        (&["run", "--split-slots", "--slots", "3", "--processes", "4"], "--slots 4"),
        (&["run", "--split-slots", "--without-slots"], "--without-slots"),
        (&["run", "--idle", "1s", "--jobs", "5"], "--idle"),
        (&["run", "--idle", "1s", "--split-slots"], "--split-slots"),
    ] {
        let line = bench.fails(arguments, 2);
        assert!(line.contains(part), "{arguments:?}: {line}");
    }
}

#[test]
fn help_describes_the_measurement_and_hides_the_worker_process() {
    let bench = Bench::new();
    let help = bench.ok(&["--help"]);
    assert!(help.starts_with("Measure an engine") && help.contains("lockgate-bench run"), "{help}");
    assert!(!help.contains("bench-worker") && !help.contains("enqueue"), "{help}");
    assert!(bench.ok(&["run", "--help"]).starts_with("Measure the engine"));
}

/// Every name in a document, with its path; a list stands for its first item.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match names(value) {
                below if below.is_empty() => vec![key.clone()],
                below => below.iter().map(|name| format!("{key}.{name}")).collect(),
            })
            .collect(),
        Value::Array(items) => items.first().map(names).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[test]
fn reports_keep_their_json_names() {
    let bench = Bench::new();
    let expected = "batch_size concurrency costs.cpu_ms costs.cpu_seconds_per_10k_jobs costs.peak_bytes \
         costs.process costs.resident_bytes deferred dispatched_per_second drain_ms drained_per_second engine \
         hand_off.count hand_off.p50_us hand_off.p99_us hand_off_to_work.count hand_off_to_work.p50_us \
         hand_off_to_work.p99_us jobs planned_per_second processes schema_version sleep_ms slots \
         slots_held_percent slots_split slots_working_percent succeeded wait.count wait.p50_us wait.p99_us";
    let report = bench.json(&["run", "--jobs", "50", "--slots", "2"]);
    assert_eq!(names(&report), expected.split_whitespace().collect::<Vec<_>>());
    let expected = "costs.cpu_ms costs.cpu_percent costs.peak_bytes costs.process costs.resident_bytes engine \
         idle_ms schema_version";
    let report = bench.json(&["run", "--idle", "100ms"]);
    assert_eq!(names(&report), expected.split_whitespace().collect::<Vec<_>>());
}
