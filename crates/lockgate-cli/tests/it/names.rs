//! Tests the names in JSON, which programs rely on, and the layout of tables. A name that is removed or
//! changes its meaning needs a new `schema_version`.

use serde_json::Value;

use crate::greeter::Greeter;

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

fn check(document: &Value, expected: &str) {
    let expected: Vec<_> = expected.split_whitespace().collect();
    assert_eq!(names(document), expected);
}

const RUN: &str = "as_of balanced batch_delay_ms batch_size batches cancelled created_at deadline_at deferrals \
                   enqueued failed id kind name next_due planned queue scheduled skipped status succeeded";

fn run(prefix: &str, more: &str) -> String {
    let mut names: Vec<_> = RUN.split_whitespace().chain(more.split_whitespace()).collect();
    names.sort_unstable();
    names.iter().map(|name| format!("{prefix}.{name} ")).collect()
}

#[test]
fn documents_keep_their_json_names() {
    let greeter = Greeter::new();
    let enqueued = greeter.json(&["enqueue", "--run", "party"]);
    check(&enqueued, &format!("added existed {} schema_version", run("run", "")));
    check(
        &greeter.json(&["enqueue", "--dry-run"]),
        "as_of batch_delay_ms batch_size batches dry_run first_due kind last_due planned run schema_version",
    );
    check(
        &greeter.json(&["work", "--until-idle"]),
        "cancelled deferred failed rejected retry schema_version skipped succeeded",
    );
    check(&greeter.json(&["runs", "list"]), &format!("{} schema_version", run("runs", "")));
    let timing = "first_settled jobs_per_second last_settled wait_p50_ms wait_p99_ms";
    check(&greeter.json(&["runs", "show", "party"]), &format!("{} schema_version", run("run", timing)));
    check(
        &greeter.json(&["runs", "verify", "party"]),
        "balanced cancelled enqueued failed planned run scheduled schema_version settled skipped succeeded total",
    );
    check(&greeter.json(&["runs", "diff", "party", "party"]), "a b only_in_a only_in_b schema_version");
    check(
        &greeter.json(&["jobs", "list"]),
        "jobs.attempt jobs.batch jobs.deferrals jobs.due_at jobs.executions jobs.id jobs.key jobs.kind jobs.payload \
         jobs.queue jobs.ran_ms jobs.reason jobs.run jobs.state jobs.tenant jobs.updated_at jobs.waited_ms schema_version",
    );
    check(
        &greeter.json(&["slots", "show"]),
        "pools.configured_slots pools.draining pools.effective_slots pools.epoch pools.held pools.in_use pools.name \
         pools.oldest_wait_ms pools.over_by pools.paused_ms pools.peak pools.per_tenant pools.ramp \
         pools.recommendation pools.recovering_ms pools.shares pools.slots pools.stranded pools.version \
         pools.waiters schema_version",
    );
    check(&greeter.json(&["slots", "holders", "door"]), "holders pool schema_version");
    let limit = |of: &str| {
        let names = [
            "burst",
            "burst_without_ramp",
            "configured_burst",
            "configured_rate",
            "name",
            "out",
            "rate",
            "rate_without_ramp",
            "step",
            "tokens",
            "version",
        ];
        names.map(|name| format!("{of}.{name}")).join(" ")
    };
    check(
        &greeter.json(&["limits", "set", "door", "--rate", "10/s"]),
        &format!("{} schema_version", limit("limit")),
    );
    check(&greeter.json(&["limits", "show"]), &format!("{} schema_version", limit("limits")));
    check(
        &greeter.json(&["limits", "ramp", "door", "start"]),
        "configured_burst configured_rate configured_slots ended failed limit max_error_rate max_p95_ms min_samples \
         schema_version since slow soak_ms step steps.burst steps.is_current steps.rate steps.share_percent \
         steps.slots why",
    );
    check(
        &greeter.json(&["slots", "audit", "door", "--run", "party"]),
        "above_ms backend backend_error broken_grants grants kept limit longest_above_ms peak pool run.created_at \
         run.holds run.name run.peak run.whole schema_version since until",
    );
    check(
        &greeter.json(&["migrate", "status"]),
        "migrations.applied_at migrations.component migrations.name migrations.version schema_version",
    );
    check(&greeter.json(&["dead", "list"]), "letters schema_version");
    check(&greeter.json(&["config", "check"]), "faults ok schema_version warnings");
}

#[test]
fn piped_tables_have_a_line_for_each_row_and_complete_names() {
    let greeter = Greeter::new();
    let name = "a-run-with-quite-a-long-name-because-somebody-liked-to-write-2026-11-22T09";
    let guests = greeter.file("guests", &format!("rude\nshy\n{}\n", "guest".repeat(20)));
    greeter.ok(&["enqueue", "--run", name, "--orgs", &guests]);
    greeter.ok(&["work", "--until-idle"]);
    greeter.ok(&["limits", "set", "kind:greet", "--rate", "999999937/h"]);
    greeter.ok(&["limits", "ramp", "door", "start"]);
    for (arguments, rows, name) in [
        (&["runs", "list"][..], 1, name),
        (&["jobs", "list"], 3, &*"guest".repeat(20)),
        (&["slots", "show"], 1, "door"),
        (&["limits", "show"], 2, "kind:greet"),
    ] {
        let table = greeter.ok(arguments);
        assert!(table.lines().count() == rows + 1 && table.contains(name), "{arguments:?}\n{table}");
    }
}
