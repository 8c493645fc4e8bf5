//! `slots audit` on a real ClickHouse that two systems share.

use serde_json::Value;
use support::servers::{ClickHouse, ask_clickhouse, clickhouse_available};

use crate::folder::Folder;

const SLOTS: u64 = 4;
const ORGANIZATIONS: u32 = 6;

/// Creates a system whose queries on the shared server take 2 s.
fn system(server: &ClickHouse) -> Folder {
    let folder = Folder::new();
    let url = server.url();
    folder.file(
        "lockgate.toml",
        format!(
            "[pools.clickhouse]\nslots = {SLOTS}\n[spike_projection]\nsource = 'clickhouse'\n\
             [spike_projection.clickhouse]\nurl = '{url}/default'\ntable = 'slow'\nlog_queries = true\n"
        ),
    );
    let rows: String = (1..=ORGANIZATIONS).map(|id| format!("{id},{id},100\n")).collect();
    let organizations = folder.file("orgs.csv", format!("organization_id,project,quota\n{rows}"));
    folder.json(&["orgs", "import", &organizations]);
    folder
}

fn enqueue(folder: &Folder, run: &str, hour: &str) {
    folder.json(&["enqueue", "--run", run, "--as-of", hour, "--batch-delay", "0s"]);
}

/// Executes the enqueued jobs of several systems at the same time.
fn work(folders: &[&Folder]) {
    let started: Vec<_> = folders
        .iter()
        .map(|folder| {
            folder.command(&["work", "--until-idle"]).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    assert!(started.into_iter().all(|mut worker| worker.wait().unwrap().success()));
}

/// Returns the peak counted by the server, whether the slots were kept, and the exit code.
fn audit(folder: &Folder, more: &[&str]) -> (u64, bool, Option<i32>) {
    let output = folder.run(&[&["slots", "audit", "clickhouse", "--output", "json"], more].concat());
    let audit: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(audit["backend_error"], Value::Null, "{audit:#}");
    (audit["backend"]["peak"].as_u64().unwrap(), audit["kept"].as_bool().unwrap(), output.status.code())
}

/// Returns the query ids of the executions of this run, one for each execution.
fn executions(server: &ClickHouse, folder: &Folder, run: &str) -> Vec<String> {
    let jobs = folder.json(&["jobs", "list", "--run", run]);
    let jobs = jobs["jobs"].as_array().unwrap().clone();
    let of = |job: &Value| {
        let id = job["id"].as_str().unwrap();
        let query = format!(
            "SELECT query_id FROM system.query_log WHERE startsWith(query_id, '{id}') \
             AND NOT endsWith(query_id, '-hours') AND toUInt8(type) = 2 LIMIT 1"
        );
        ask_clickhouse(&server.url(), &query).unwrap().trim().to_owned()
    };
    jobs.iter().map(of).collect()
}

#[test]
fn two_systems_on_one_server_are_each_audited_by_their_own_queries() {
    if !clickhouse_available().unwrap() {
        return;
    }
    let server = ClickHouse::start().unwrap();
    let (one, other) = (system(&server), system(&server));
    let usage = one.file("usage.csv", "project,hour,accepted\n1,2026-11-22T00,1\n");
    let table = "spike_projection.clickhouse.table=usage_hourly";
    one.json(&["--set", table, "usage", "import", "--to", "clickhouse", &usage]);
    let slow = "CREATE VIEW slow AS SELECT * FROM usage_hourly WHERE (SELECT sleep(2)) = 0";
    ask_clickhouse(&server.url(), slow).unwrap();

    enqueue(&one, "first", "2026-11-22T01");
    enqueue(&other, "first", "2026-11-22T01");
    work(&[&one, &other]);
    for folder in [&one, &other] {
        let (peak, kept, code) = audit(folder, &["--run", "first"]);
        assert!((1..=SLOTS).contains(&peak) && kept && code == Some(0), "{peak} {kept} {code:?}");
    }

    // More queries than slots, under the ids of one system's executions: only that system's audit must fail.
    let ids = executions(&server, &one, "first");
    assert_eq!(ids.len(), usize::try_from(ORGANIZATIONS).unwrap());
    std::thread::scope(|threads| {
        for id in &ids {
            let url = format!("{}/?log_queries=1&query_id={id}-again", server.url());
            threads.spawn(move || ask_clickhouse(&url, "SELECT sleep(3)").unwrap());
        }
    });
    assert_eq!(audit(&one, &[]), (u64::from(ORGANIZATIONS), false, Some(1)));
    assert!(matches!(audit(&other, &[]), (1..=SLOTS, true, Some(0))));

    // A later run of the same system must pass its own audit.
    enqueue(&one, "second", "2026-11-22T02");
    work(&[&one]);
    assert!(matches!(audit(&one, &["--run", "second"]), (1..=SLOTS, true, Some(0))));
    assert!(matches!(audit(&one, &["--run", "first"]), (_, false, Some(1))));
}
