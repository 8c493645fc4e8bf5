//! Tests the commands as a user runs them. Each test runs the example program on a database of its own.

use std::io::Write;
use std::process::Stdio;

use crate::greeter::Greeter;
use serde_json::Value;

#[test]
fn run_is_enqueued_worked_and_verified() {
    let greeter = Greeter::new();
    let planned = greeter.json(&["enqueue", "--run", "party", "--batch-size", "4", "--batch-delay", "0s"]);
    assert_eq!((&planned["existed"], &planned["added"]), (&false.into(), &10.into()));
    assert_eq!(planned["run"]["planned"], 10);
    let worked = greeter.json(&["work", "--until-idle"]);
    assert_eq!(worked["succeeded"], 10);
    let account = greeter.json(&["runs", "verify", "party"]);
    assert_eq!((&account["balanced"], &account["settled"]), (&true.into(), &true.into()));
    let run = &greeter.json(&["runs", "show", "party"])["run"];
    assert_eq!(
        (&run["status"], &run["batches"], &run["succeeded"]),
        (&"finished".into(), &3.into(), &10.into())
    );
    assert!(run["wait_p99_ms"].is_u64(), "{run}");
}

#[test]
fn enqueue_with_an_existing_name_returns_that_run() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let again = greeter.run(&["enqueue", "--run", "party", "--output", "json"]);
    assert_eq!(again.code, 0);
    let output: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&output["existed"], &output["added"]), (&true.into(), &0.into()));
    assert!(again.stderr.contains("the run party already exists"), "{}", again.stderr);
}

#[test]
fn follow_shows_the_progress_until_the_run_is_finished() {
    let greeter = Greeter::new();
    let mut worker = greeter.command(&["work"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let followed = greeter.run(&["enqueue", "--run", "party", "--follow", "--output", "json"]);
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(followed.code, 0, "{}", followed.stderr);
    let output: Value = serde_json::from_str(&followed.stdout).unwrap();
    assert_eq!((&output["run"]["status"], &output["run"]["succeeded"]), (&"finished".into(), &10.into()));
    for part in ["party: ", " of 10", "batches ", "scheduled ", "slots door "] {
        assert!(followed.stderr.contains(part), "{part}: {}", followed.stderr);
    }
}

#[test]
fn keys_are_read_from_standard_input() {
    let greeter = Greeter::new();
    let mut command = greeter.command(&["enqueue", "--run", "party", "--orgs", "-", "--output", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"anna\nbert\n").unwrap();
    let output: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(output["run"]["planned"], 2);
}

#[test]
fn run_is_named_after_its_kind_and_hour() {
    let greeter = Greeter::new();
    let planned = greeter.json(&["enqueue", "--as-of", "2026-11-22T09"]);
    assert_eq!(planned["run"]["name"], "greet-2026-11-22T09");
    assert_eq!(planned["run"]["as_of"], "2026-11-22T09:00:00Z");
    let again = greeter.fails(&["enqueue", "--run", "greet-2026-11-22T09", "--as-of", "2026-11-22T10"], 1);
    assert!(again.contains("greet-2026-11-22T09"), "{again}");
}

#[test]
fn dry_run_shows_the_plan_and_creates_no_run() {
    let greeter = Greeter::new();
    let start = ["--start-at", "2030-01-01T00:00:00Z"];
    let dry = greeter.json(&[&["enqueue", "--dry-run", "--batch-size", "3"], &start[..]].concat());
    assert_eq!((&dry["planned"], &dry["batches"]), (&10.into(), &4.into()));
    assert_eq!(dry["last_due"], "2030-01-01T00:00:06Z");
    assert_eq!(greeter.json(&["runs", "list"])["runs"], Value::Array(vec![]));
}

#[test]
fn skipped_and_failed_jobs_are_listed_with_their_reason_and_can_be_retried() {
    let greeter = Greeter::new();
    let guests = greeter.file("guests", "anna\nshy\nrude\n");
    greeter.ok(&["enqueue", "--run", "party", "--orgs", &guests]);
    greeter.ok(&["work", "--until-idle"]);
    let failed = greeter.json(&["jobs", "list", "--run", "party", "--state", "failed,skipped"]);
    let reasons: Vec<_> =
        failed["jobs"].as_array().unwrap().iter().map(|job| job["reason"].clone()).collect();
    assert_eq!(reasons, ["does not want to be greeted", "shut the door"]);
    let job = failed["jobs"][1]["id"].as_str().unwrap().to_owned();
    assert_eq!(greeter.json(&["jobs", "show", &job])["job"]["key"], "rude");
    assert_eq!(greeter.json(&["runs", "retry", "party", "--state", "failed,skipped"])["changed"], 2);
    assert_eq!(greeter.json(&["runs", "verify", "party"])["scheduled"], 2);
    let cancelled = greeter.json(&["jobs", "cancel", &job, "--reason", "enough"]);
    assert_eq!(
        (&cancelled["job"]["state"], &cancelled["job"]["reason"]),
        (&"cancelled".into(), &"enough".into())
    );
}

#[test]
fn run_is_paused_changed_resumed_and_cancelled() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    assert_eq!(greeter.json(&["runs", "pause", "party"])["run"]["status"], "paused");
    let set = greeter.json(&["runs", "set", "party", "--batch-delay", "500ms"]);
    assert_eq!((&set["run"]["batch_delay_ms"], &set["run"]["batch_size"]), (&500.into(), &25.into()));
    assert_eq!(greeter.json(&["runs", "resume", "party"])["run"]["status"], "active");
    let cancelled = greeter.json(&["runs", "cancel", "party"]);
    assert_eq!((&cancelled["changed"], &cancelled["run"]["cancelled"]), (&10.into(), &10.into()));
    assert!(greeter.fails(&["runs", "resume", "party"], 1).contains("party"));
    greeter.ok(&["runs", "retry", "party", "--state", "cancelled"]);
    let again = greeter.json(&["runs", "cancel", "party"]);
    assert_eq!(again["changed"], 10, "retried jobs of a cancelled run can be cancelled");
}

#[test]
fn finished_run_cannot_be_paused_resumed_changed_or_cancelled() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    greeter.ok(&["work", "--until-idle"]);
    let set = ["set", "party", "--batch-size", "9"];
    for command in [&["pause", "party"][..], &["resume", "party"], &set, &["cancel", "party"]] {
        let line = greeter.fails(&[&["runs"], command].concat(), 1);
        assert!(line.contains("party is finished") && line.contains("runs retry party"), "{line}");
    }
    assert_eq!(greeter.json(&["runs", "show", "party"])["run"]["status"], "finished");
}

#[test]
fn help_describes_each_command() {
    let greeter = Greeter::new();
    let help = greeter.ok(&["--help"]);
    let migrate = help.lines().find(|line| line.trim_start().starts_with("migrate ")).unwrap();
    assert!(migrate.contains("Bring the tables up to date"), "{migrate}");
    assert!(greeter.ok(&["migrate", "--help"]).starts_with("Bring the tables up to date"));
    let line = greeter.fails(&[], 2);
    assert!(line.contains("limits, config, migrate"), "{line}");
}

#[test]
fn diff_lists_the_keys_that_only_one_run_has() {
    let greeter = Greeter::new();
    let (a, b) = (greeter.file("a", "anna\nbert\n"), greeter.file("b", "bert\ncleo\n"));
    greeter.ok(&["enqueue", "--run", "a", "--orgs", &a]);
    greeter.ok(&["enqueue", "--run", "b", "--orgs", &b]);
    let diff = greeter.json(&["runs", "diff", "a", "b"]);
    assert_eq!(diff["only_in_a"], serde_json::json!(["anna"]));
    assert_eq!(diff["only_in_b"], serde_json::json!(["cleo"]));
}

#[test]
fn pool_exists_before_the_first_worker_and_changes_immediately() {
    let greeter = Greeter::new();
    let pool = &greeter.json(&["slots", "show"])["pools"][0];
    assert_eq!((&pool["name"], &pool["slots"], &pool["held"]), (&"door".into(), &50.into(), &0.into()));
    let set = greeter.json(&["slots", "set", "door", "--slots", "10", "--per-tenant", "3"]);
    assert_eq!((&set["pool"]["slots"], &set["pool"]["per_tenant"]), (&10.into(), &3.into()));
    let set =
        greeter.json(&["slots", "set", "door", "--per-tenant", "none", "--tenant", "anna", "--cap", "1"]);
    assert_eq!((&set["pool"]["slots"], &set["pool"]["per_tenant"]), (&10.into(), &Value::Null));
    assert_eq!(set["pool"]["shares"], serde_json::json!([{ "tenant": "anna", "cap": 1, "weight": 1 }]));
    let weighted = greeter.ok(&["slots", "set", "door", "--tenant", "anna", "--weight", "3"]);
    assert!(weighted.contains("tenant anna: own cap 1, weight 3"), "{weighted}");
    let shown = greeter.ok(&["slots", "show"]);
    assert!(shown.contains("OWN CAP") && shown.contains("anna"), "{shown}");
    let removed = greeter.json(&["slots", "set", "door", "--tenant", "anna", "--remove"]);
    assert_eq!(removed["pool"]["shares"], Value::Array(vec![]));
    assert_eq!(greeter.json(&["slots", "holders", "door"])["holders"], Value::Array(vec![]));
    assert!(greeter.json(&["slots", "reset", "door"])["pool"]["epoch"].as_u64() > pool["epoch"].as_u64());
}

#[test]
fn slots_of_the_store_apply_and_a_different_number_in_the_config_is_reported() {
    let greeter = Greeter::new();
    greeter.ok(&["slots", "show"]);
    let config = greeter.file("lockgate.toml", "[pools.door]\nslots = 7\n");
    let shown = greeter.ok(&["slots", "show", "--config", &config]);
    assert!(shown.contains("50") && shown.contains("config says 7"), "{shown}");
    let worked = greeter.run(&["work", "--until-idle", "--config", &config]);
    assert!(worked.stderr.contains("differ from the config's"), "{}", worked.stderr);
}

#[test]
fn config_is_created_checked_and_shown() {
    let greeter = Greeter::new();
    greeter.ok(&["config", "init"]);
    assert!(greeter.read("lockgate.toml").contains("[greeter]"));
    assert!(greeter.fails(&["config", "init"], 73).contains("lockgate.toml"));
    assert_eq!(greeter.json(&["config", "check"])["ok"], true);
    let settings = &greeter.json(&["config", "show", "--set", "worker.concurrency=8"])["settings"];
    assert_eq!((&settings["worker"]["concurrency"], &settings["greeter"]["guests"]), (&8.into(), &10.into()));
    let bad =
        greeter.run(&["config", "check", "--set", "worker.concurrency=none", "--set", "greeter.guest=1"]);
    assert_eq!(bad.code, 78);
    assert_eq!(bad.stdout.lines().count(), 2, "{}", bad.stdout);
}

#[test]
fn environment_sets_the_database() {
    let greeter = Greeter::new();
    let elsewhere = greeter.file("elsewhere.db", "");
    let listed = greeter.run_with(&["runs", "list"], &[("LOCKGATE__EMBEDDED__PATH", &elsewhere)]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(!greeter.read("elsewhere.db").is_empty());
}

#[test]
fn migrations_are_listed_with_the_time_they_were_applied() {
    let greeter = Greeter::new();
    let status = greeter.json(&["migrate", "status"]);
    let first = &status["migrations"][0];
    assert_eq!((&first["component"], &first["version"]), (&"lockgate".into(), &1.into()));
    assert!(first["applied_at"].is_string(), "{first}");
}

/// Characters that control a terminal, and lines that imitate a field.
const ESCAPES: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}end\n  state  succeeded";

/// Checks that the text has no character that controls a terminal.
fn check_is_safe(text: &str) {
    let bad = |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}');
    assert_eq!(text.chars().filter(bad).collect::<Vec<_>>(), Vec::<char>::new(), "{text:?}");
}

#[test]
fn control_characters_of_a_reason_are_escaped() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party", "--orgs", &greeter.file("guests", "anna\n")]);
    let job = greeter.json(&["jobs", "list"])["jobs"][0]["id"].as_str().unwrap().to_owned();
    greeter.ok(&["jobs", "cancel", &job, "--reason", ESCAPES]);
    let listed = greeter.ok(&["jobs", "list"]);
    check_is_safe(&listed);
    assert!(listed.lines().count() == 2 && listed.contains("\\u{1b}[2J"), "a row is one line: {listed}");
    let shown = greeter.ok(&["jobs", "show", &job]);
    check_is_safe(&shown);
    assert!(!shown.lines().any(|line| line.starts_with("  state") || line.starts_with("state  succeeded")));
    let json = greeter.ok(&["jobs", "show", &job, "--output", "json"]);
    check_is_safe(&json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["job"]["reason"], ESCAPES);
    check_is_safe(&greeter.fails(&["runs", "show", "no\u{9b}31mrun"], 2));
}

#[test]
fn piped_table_has_complete_ids_and_reasons() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party", "--orgs", &greeter.file("guests", "anna\nbert\n")]);
    let jobs = greeter.json(&["jobs", "list"])["jobs"].as_array().unwrap().clone();
    let reason = "a reason of many words ".repeat(12) + "to its end";
    let ids: Vec<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    greeter.ok(&["jobs", "cancel", ids[0], "--reason", &reason]);
    let table = greeter.ok(&["jobs", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[1].starts_with(ids[0]) && lines[1].ends_with(&reason) && lines[2].starts_with(ids[1]),
        "{table}"
    );
}

#[test]
fn json_log_line_has_each_span_once() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party", "--orgs", &greeter.file("guests", "rude\n")]);
    let worked = greeter.run(&["work", "--until-idle"]);
    let line = worked
        .stderr
        .lines()
        .find(|line| line.contains("job ended"))
        .unwrap_or_else(|| panic!("{}", worked.stderr));
    let logged: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&logged["spans"][0]["key"], logged.get("span")), (&"rude".into(), None), "{line}");
    assert_eq!(line.matches("\"kind\"").count(), 1, "{line}");
}

#[test]
fn control_characters_in_the_log_are_escaped() {
    let greeter = Greeter::new();
    let worked = greeter.run_with(&["work", "--until-idle"], &[("LOCKGATE_WORKER__X\u{9b}2J\u{202e}", "1")]);
    check_is_safe(&worked.stderr);
    let line = worked
        .stderr
        .lines()
        .find(|line| line.contains("sets nothing"))
        .unwrap_or_else(|| panic!("{}", worked.stderr));
    let logged: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(logged["message"].as_str().unwrap().contains("did you mean LOCKGATE__WORKER__X"), "{line}");
}
