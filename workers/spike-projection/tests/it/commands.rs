//! The commands of this program, as a user runs them.

use std::process::Command;

use serde_json::Value;

use crate::folder::Folder;

const ORGANIZATIONS: &str = "organization_id,slug,project,quota\no1,one,p1,500000\no2,two,p2,\no3,three,,7\n";

/// A week of usage of `p1`, up to the hour of the run.
fn a_week() -> String {
    let hour = |n: u32| format!("p1,2026-11-{:02}T{:02}:00:00Z,{}\n", 15 + n / 24, n % 24, 100 + n % 24);
    "project,hour,accepted\n".to_owned() + &(0..168).map(hour).collect::<String>()
}

#[test]
fn imported_organizations_and_usage_lead_to_projections() {
    let folder = Folder::new();
    let organizations = folder.file("orgs.csv", ORGANIZATIONS);
    assert_eq!(folder.json(&["orgs", "import", &organizations])["lines"], 3);
    let output = folder.run_with(&["usage", "import", "-"], &a_week());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.run(&["enqueue", "--as-of", "2026-11-22T00", "--batch-delay", "0s"]).status.success());
    assert!(folder.run(&["work", "--until-idle"]).status.success());

    let coverage = folder.json(&["projections", "coverage", "--as-of", "2026-11-22T00"]);
    assert_eq!((&coverage["active"], &coverage["covered"]), (&3.into(), &3.into()));
    let shown = folder.json(&["projections", "show", "o1"]);
    let rows = shown["projections"].as_array().unwrap();
    assert_eq!(rows.len(), 168);
    assert_eq!(rows[0]["hour"], "2026-11-22T00:00:00Z");
    assert_eq!(
        (&rows[0]["floor"], &rows[0]["reason"], &rows[0]["samples"]),
        (&2083.into(), &"floor".into(), &168.into())
    );
    let listed = folder.json(&["orgs", "list"]);
    assert_eq!(listed["organizations"][0]["quotas"]["errors"], 500_000);
    folder.refused(&["projections", "show", "o2"], 66, "organization \"o2\" has no projection");

    let plot = folder.run(&["projections", "show", "o1", "--plot"]);
    let plot = String::from_utf8(plot.stdout).unwrap();
    assert!(plot.contains('•') && plot.contains('─') && !plot.contains('\u{1b}'), "{plot}");
    assert!(plot.lines().all(|line| line.chars().count() <= 100), "{plot}");
}

#[test]
fn run_includes_only_the_organizations_of_a_list() {
    let folder = Folder::new();
    for (name, text) in [
        ("plain", "o1\no3\n"),
        ("columns", "slug,organization_id,else\nx,o1,1\ny,o3,2\n"),
        ("json", "{\"organization_id\":\"o1\"}\n{\"organization_id\":\"o3\",\"else\":1}\n"),
    ] {
        let list = folder.file(name, text);
        folder.json(&["enqueue", "--orgs", &list, "--run", name]);
        let jobs = folder.json(&["jobs", "list", "--run", name]);
        let keys: Vec<_> =
            jobs["jobs"].as_array().unwrap().iter().map(|job| job["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["o1", "o3"], "{name}");
    }
}

#[test]
fn bad_line_prevents_the_whole_import() {
    let folder = Folder::new();
    let orgs = folder.file("orgs.csv", ORGANIZATIONS);
    let bad_orgs = folder.file("bad.csv", "organization_id,quota\nx1,1\nx2,many\n");
    folder.refused(
        &["orgs", "import", &bad_orgs],
        65,
        "bad.csv, line 3: column quota: \"many\" is not a whole number",
    );
    let twice = folder.file("twice.csv", "organization_id,project\nx1,web\nx2,web\n");
    folder.refused(
        &["orgs", "import", &twice],
        65,
        "twice.csv, line 3: column project: \"web\" belongs to organization \"x1\"",
    );
    assert_eq!(folder.json(&["orgs", "list"])["organizations"].as_array().unwrap().len(), 0);
    folder.json(&["orgs", "import", &orgs]);
    let good = "project,hour,accepted\np1,2026-11-22T08:00:00Z,1\n";
    for (line, expected) in [
        (
            "p1,2026-11-22T09:30:00Z,1",
            "line 3: column hour: \"2026-11-22T09:30:00Z\" is not a full hour in UTC",
        ),
        ("p1,2026-11-22T09:00:00Z,-1", "line 3: column accepted: \"-1\" is not a whole number"),
        (
            "p9,2026-11-22T09:00:00Z,1",
            "line 3: column project: there is no project \"p9\"; import its organization first",
        ),
        ("p1,2026-11-22T09:00:00Z", "line 3"),
        (",2026-11-22T09:00:00Z,1", "line 3: column project: is missing"),
    ] {
        let file = folder.file("usage.csv", format!("{good}{line}\n"));
        folder.refused(&["usage", "import", &file], 65, expected);
    }
    folder.refused(&["usage", "import", "nowhere.csv"], 66, "nowhere.csv");
    let empty = folder.file("empty.csv", "");
    folder.refused(&["orgs", "import", &empty], 65, "is empty");
}

#[test]
fn missing_things_are_named_with_a_hint() {
    let folder = Folder::new();
    folder.refused(
        &["projections", "show", "o9"],
        66,
        "there is no organization \"o9\"; `orgs list` shows all",
    );
    folder.refused(&["projections", "coverage", "--as-of", "yesterday"], 2, "is not an hour");
    folder.refused(&["fake-backend", "--listen", "192.0.2.1:9"], 69, "cannot listen at 192.0.2.1:9");
    folder.refused(&["demo", "--orgs", "0"], 2, "--orgs");
    let set = ["--set", "spike_projection.source=ftp", "orgs", "list"];
    folder.refused(&set, 78, "spike_projection.source");
    let set = ["--set", "spike_projection.http.url=localhost", "orgs", "list"];
    folder.refused(&set, 78, "http://127.0.0.1:8123");
}

#[test]
fn demo_with_slots_projects_every_organization_and_no_query_is_rejected() {
    let folder = Folder::new();
    let shown =
        folder.json(&["--db", "demo.db", "demo", "--orgs", "60", "--slots", "5", "--query-time", "5ms"]);
    for (name, value) in [("planned", 60), ("succeeded", 60), ("refused", 0), ("failed", 0), ("enqueued", 0)]
    {
        assert_eq!(shown[name], value, "{shown}");
    }
    assert_eq!((&shown["coverage"], &shown["balanced"]), (&1.0.into(), &true.into()));
    assert!(shown["peak_slots"].as_u64().unwrap() <= 5 && shown["backend"]["peak"].as_u64().unwrap() <= 5);
}

#[test]
fn demo_without_slots_has_rejected_queries_and_accounts_for_every_organization() {
    let folder = Folder::new();
    let shown =
        folder.json(&["--db", "demo.db", "demo", "--orgs", "60", "--backend-limit", "5", "--without-slots"]);
    assert!(shown["refused"].as_u64().unwrap() > 20, "{shown}");
    assert_eq!((&shown["planned"], &shown["balanced"]), (&60.into(), &true.into()));
    assert_eq!(shown["succeeded"].as_u64().unwrap() + shown["failed"].as_u64().unwrap(), 60, "{shown}");
    assert!(shown["deferrals"]["organizations"].as_u64().unwrap() > 20, "{shown}");
}

#[test]
fn options_of_a_kind_are_configured_and_shown_with_their_origin() {
    let folder = Folder::new();
    folder.file("lockgate.toml", "[kinds.spike-projection]\ndeadline = '40s'\nmax_attempts = 9\n");
    let set = ["--set", "kinds.spike-projection.max_attempts=2"];
    let mut command = folder.command(&[&set[..], &["config", "show", "--output", "json"]].concat());
    command.env("LOCKGATE__KINDS__SPIKE-PROJECTION__BACKOFF_CAP", "250ms");
    let shown: serde_json::Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    for (key, value, origin) in [
        ("max_attempts", serde_json::json!(2), "a flag"),
        ("deadline", "40s".into(), "lockgate.toml"),
        ("backoff_cap", "250ms".into(), "the environment"),
        ("backoff_base", "5s".into(), "default"),
        ("group", 1.into(), "default"),
    ] {
        assert_eq!(shown["settings"]["kinds"]["spike-projection"][key], value, "{key}");
        assert_eq!(shown["origins"][format!("kinds.spike-projection.{key}")], origin, "{key}");
    }
    let set = ["--set", "spike_projection.source=clickhouse", "config", "show"];
    let text = String::from_utf8(folder.run(&set).stdout).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("kinds.spike-projection.backend_time").ends_with("\"25s\"  (the kind's code)"), "{text}");
    assert!(line("spike_projection.source").ends_with("\"clickhouse\"  (a flag)"), "{text}");
    assert!(line("worker.concurrency").ends_with("64  (default)"), "{text}");
    for (setting, expected) in [
        ("max_attempts=0", "must be 1 to 1000"),
        ("group=1001", "must be 1 to 1000"),
        ("deadline=0s", "must be 1ms to"),
        ("backend_time=100years", "must be 0s to"),
        ("backoff_base=soon", "is not a duration"),
    ] {
        folder.refused(
            &["--set", &format!("kinds.spike-projection.{setting}"), "runs", "list"],
            78,
            expected,
        );
    }
}

#[test]
fn number_of_attempts_is_configurable() {
    let folder = Folder::new();
    let organizations = folder.file("orgs.csv", "organization_id,project,quota\n7,p7,100\n");
    folder.json(&["orgs", "import", &organizations]);
    // The server's response is not usage, which is an error that is retried.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("spike_projection.http.url=http://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut connection, _)) = server.accept() {
            let _request = connection.read(&mut [0; 4_096]);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx";
            let _sent = connection.write_all(answer);
        }
    });
    for attempts in [1_u32, 2] {
        let run = format!("r{attempts}");
        let set = format!("kinds.spike-projection.max_attempts={attempts}");
        folder.json(&["enqueue", "--run", &run]);
        let settings = ["--set", "spike_projection.source=http", "--set", &url, "--set", &set];
        let quick = ["--set", "kinds.spike-projection.backoff_base=1ms", "work", "--until-idle"];
        let worked = folder.run(&[&settings[..], &quick].concat());
        assert!(worked.status.success(), "{}", String::from_utf8_lossy(&worked.stderr));
        let jobs = folder.json(&["jobs", "list", "--run", &run]);
        let job = &jobs["jobs"][0];
        assert_eq!((&job["state"], &job["attempt"]), (&"failed".into(), &attempts.into()), "{job}");
    }
}

#[test]
fn commands_proposed_by_a_demo_can_be_run() {
    let folder = Folder::new();
    let output =
        folder.run(&["--db", "demo.db", "demo", "--orgs", "5", "--slots", "5", "--query-time", "5ms"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, next) = text.split_once("What to try next:\n").unwrap();
    let commands: Vec<&str> = next.lines().map(str::trim).filter(|line| line.contains("--db")).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for command in commands {
        let ran = Command::new("sh").args(["-c", command]).current_dir(folder.path()).output().unwrap();
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn misspelled_pool_or_kind_causes_a_warning() {
    let folder = Folder::new();
    let config = "[pools.clikhouse]\nslots = 3\n[kinds.spike-projektion]\nrate = '1/s'\n";
    let file = folder.file("misspelled.toml", config);
    let output = folder.run(&["--config", &file, "config", "check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(warnings.len() == 2 && warnings[0].contains("did you mean \"clickhouse\"?"), "{text}");
    assert!(warnings[1].contains("did you mean \"spike-projection\"?"), "{text}");
    // The pool that jobs use may itself be configured.
    let set = [
        "--set",
        "spike_projection.pool=clikhouse",
        "--config",
        &file,
        "config",
        "check",
        "--output",
        "json",
    ];
    let checked: Value = serde_json::from_slice(&folder.run(&set).stdout).unwrap();
    assert_eq!(checked["warnings"].as_array().unwrap().len(), 1, "{checked}");
}

#[test]
fn control_characters_in_imported_names_are_not_printed_to_a_terminal() {
    let folder = Folder::new();
    let line = "{\"organization_id\":1,\"slug\":\"a\\u001b]0;title\\u0007b\\u202e\"}\n";
    let file = folder.file("orgs.jsonl", line);
    // It is also correct if the import rejects the name.
    let imported = folder.run(&["orgs", "import", &file]);
    let listed = folder.run(&["orgs", "list"]);
    for output in [&imported, &listed] {
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let bad: Vec<char> =
            text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
        assert!(bad.is_empty(), "{bad:?} in {text:?}");
    }
    assert!(
        !imported.status.success() || String::from_utf8_lossy(&listed.stdout).contains("a\\u{1b}]0;title")
    );
}
