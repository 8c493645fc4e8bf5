//! Tests invalid input: one line on standard error names the thing and the remedy, and the exit code is
//! right.

use crate::greeter::Greeter;

#[test]
fn invalid_command_line_is_refused_on_one_line() {
    let greeter = Greeter::new();
    for (arguments, parts) in [
        (&["enqeue"][..], &["enqeue", "enqueue"][..]),
        (&[], &["no command given", "--help"]),
        (&["runs"], &["no command given", "greeter runs --help"]),
        (&["enqueue", "--batch-size", "0"], &["--batch-size", "from 1 to 1000", "greeter enqueue --help"]),
        (&["enqueue", "--batch-size", "many"], &["--batch-size", "many"]),
        (&["enqueue", "--batch-delay", "2"], &["--batch-delay", "time unit needed", "2s"]),
        (&["enqueue", "--batch-delay", "250us"], &["--batch-delay", "finer than a millisecond", "1ms"]),
        (&["enqueue", "--deadline", "0s"], &["--deadline", "from 1s to 1year"]),
        (&["enqueue", "--as-of", "yesterday"], &["--as-of", "2026-11-22T09 (UTC)"]),
        (&["enqueue", "--as-of", "2026-11-22T09:30:00Z"], &["is not an hour"]),
        (&["enqueue", "--start-at", "soon"], &["--start-at", "RFC 3339"]),
        (&["enqueue", "--run", ""], &["--run"]),
        (&["enqueue", "--dry-run", "--follow"], &["--dry-run", "--follow"]),
        (&["enqueue", "--folow"], &["--folow", "--follow"]),
        (&["work", "--concurrency", "0"], &["--concurrency"]),
        (&["runs", "show"], &["<RUN>"]),
        (&["runs", "set", "x"], &["--batch-size", "--batch-delay"]),
        (
            &["runs", "retry", "x", "--state", "succeeded"],
            &["cannot be retried", "failed, skipped, cancelled"],
        ),
        (&["jobs", "list", "--state", "running"], &["running", "succeeded"]),
        (&["jobs", "show", "x"], &["is not the id of a job", "jobs list"]),
        (&["slots", "set", "door"], &["--slots"]),
        (&["slots", "set", "door", "--per-tenant", "0"], &["is not a cap", "none"]),
        (&["slots", "set", "door", "--cap", "3"], &["--tenant"]),
        (&["slots", "set", "door", "--tenant", "a", "--cap", "3", "--remove"], &["--remove", "--cap"]),
        (&["runs", "list", "--output", "xml"], &["xml", "table", "json"]),
        (&["runs", "list", "--set", "worker"], &["section.key=value"]),
        (&["completions", "tcsh"], &["tcsh", "bash"]),
    ] {
        let line = greeter.fails(arguments, 2);
        for part in parts {
            assert!(line.contains(part), "{arguments:?}: {part:?} is not in {line:?}");
        }
    }
}

#[test]
fn missing_thing_is_named_with_a_command_that_lists_the_existing_ones() {
    let greeter = Greeter::new();
    for (arguments, parts) in [
        (&["runs", "show", "nope"][..], &["no run \"nope\"", "runs list"][..]),
        (&["runs", "verify", "nope"], &["no run \"nope\""]),
        (&["runs", "diff", "nope", "nope"], &["no run \"nope\""]),
        (&["jobs", "list", "--run", "nope"], &["no run \"nope\""]),
        (&["jobs", "show", "0199aaaa-0000-7000-8000-000000000000"], &["no job 0199aaaa", "jobs list"]),
        (&["slots", "show", "nope"], &["no pool \"nope\"", "slots show"]),
        (&["slots", "set", "nope", "--slots", "1"], &["no pool \"nope\"", "[pools.NAME]"]),
        (&["slots", "reset", "nope"], &["no pool \"nope\""]),
        (&["enqueue", "--orgs", "nope.csv"], &["nope.csv", "- for standard input"]),
        (&["enqueue", "--orgs", "."], &["is a folder"]),
    ] {
        let line = greeter.fails(arguments, 66);
        for part in parts {
            assert!(line.contains(part), "{arguments:?}: {part:?} is not in {line:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn path_that_is_not_utf8_is_refused_for_the_database_and_accepted_as_input() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let greeter = Greeter::new();
    let run = |arguments: &[&[u8]]| {
        let arguments: Vec<&OsStr> = arguments.iter().map(|bytes| OsStr::from_bytes(bytes)).collect();
        let output = greeter.command(&[]).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&[b"--db", b"\xff.db", b"runs", b"list"]);
    assert!(code == Some(2) && text.contains("--db") && text.contains("\"\\xFF.db\" is not UTF-8"), "{text}");
    std::fs::write(greeter.path().join(OsStr::from_bytes(b"\xff.csv")), "7\n").unwrap();
    let (code, text) = run(&[b"enqueue", b"--orgs", b"\xff.csv"]);
    assert_eq!(code, Some(0), "{text}");
    let files = std::fs::read_dir(greeter.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(files.filter(|name| name.to_string_lossy().contains(".db")).all(|name| name.to_str().is_some()));
}

#[test]
fn database_in_memory_is_refused() {
    let greeter = Greeter::new();
    let line = greeter.fails(&["--db", ":memory:", "runs", "list"], 78);
    assert!(line.contains("\":memory:\" is a database in memory") && line.contains("name a file"), "{line}");
    let mut files = std::fs::read_dir(greeter.path()).unwrap();
    assert!(files.next().is_none(), "a file was created");
}

#[test]
fn faulty_config_is_refused_by_every_command_that_needs_settings() {
    let greeter = Greeter::new();
    let config = greeter.file("bad.toml", "[worker]\nconcurrency = 0\n[runs]\nbatch_size = 'x'\n");
    let line = greeter.fails(&["runs", "list", "--config", &config], 78);
    assert!(line.contains("worker.concurrency = 0") && line.contains("runs.batch_size = \"x\""), "{line}");
    let line = greeter.fails(&["runs", "list", "--config", "nope.toml"], 78);
    assert!(line.contains("nope.toml") && line.contains("config init"), "{line}");
    let line = greeter.fails(&["runs", "list", "--log", "lockgate=loud"], 78);
    assert!(line.contains("log.filter") && line.contains("info,lockgate=debug"), "{line}");
    greeter.ok(&["completions", "bash", "--config", &config]);
}

#[test]
fn file_that_is_not_a_database_is_refused_and_not_changed() {
    let greeter = Greeter::new();
    let text =
        "this is a letter, not a database; it is long enough to have a header of sixteen bytes\n".repeat(50);
    let path = greeter.file("letter.txt", &text);
    let line = greeter.fails(&["runs", "list", "--db", &path], 65);
    assert!(line.contains("letter.txt"), "{line}");
    assert_eq!(greeter.read("letter.txt"), text);
    assert!(greeter.fails(&["runs", "list", "--db", "."], 73).contains("folder"));
}

#[test]
fn planning_continues_after_invalid_data_is_corrected() {
    let greeter = Greeter::new();
    let many: String = (0..1_500).map(|n| format!("guest-{n}\n")).collect();
    let guests = greeter.file("guests", &format!("{many}\n"));
    let line = greeter.fails(&["enqueue", "--run", "party", "--orgs", &guests], 65);
    assert!(line.contains("cannot invite \"\"") && line.contains("must not be empty"), "{line}");
    let account = greeter.run(&["runs", "verify", "party"]);
    assert_eq!(account.code, 1);
    assert!(account.stdout.contains("continues it"), "{}", account.stdout);
    greeter.file("guests", &many);
    let again = greeter.run(&["enqueue", "--run", "party", "--orgs", &guests]);
    assert!(again.stderr.contains("interrupted and is now complete: 500 jobs added"), "{}", again.stderr);
    assert_eq!(greeter.json(&["runs", "verify", "party"])["planned"], 1_500);
}

#[test]
fn each_kind_of_file_error_has_its_exit_code() {
    let greeter = Greeter::new();
    let bytes = greeter.file("bytes", "");
    std::fs::write(&bytes, [0xff, 0xfe, b'\n']).unwrap();
    assert!(greeter.fails(&["enqueue", "--orgs", &bytes], 65).contains("valid UTF-8"));
    assert!(greeter.fails(&["runs", "list", "--config", &bytes], 78).contains("valid UTF-8"));
    assert!(greeter.fails(&["config", "init", "/nowhere/x.toml"], 73).contains("/nowhere/x.toml"));
    let full = std::fs::File::create("/dev/full").unwrap();
    let ended = greeter.command(&["runs", "list"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(74), "{stderr}");
    assert!(stderr.contains("cannot write to standard output"), "{stderr}");
}

#[test]
fn error_is_json_with_output_json() {
    let greeter = Greeter::new();
    for (arguments, code) in
        [(&["runs", "show", "nope", "--output", "json"][..], 66), (&["x", "--output=json"], 2)]
    {
        let ended = greeter.run(arguments);
        let error: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(
            (ended.code, &error["schema_version"], &error["error"]["exit"]),
            (code, &1.into(), &code.into())
        );
        assert!(error["error"]["message"].is_string());
    }
}

#[test]
fn closed_pipe_is_no_error() {
    let greeter = Greeter::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = greeter.command(&["completions", "bash"]).stdout(writer).output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn help_begins_with_examples_and_ends_with_exit_codes() {
    let help = Greeter::new().ok(&["--help"]);
    let parts =
        ["Examples:", "greeter work --until-idle", "Usage:", "Commands:", "--output", "Exit codes:", "78"];
    let found: Vec<_> =
        parts.iter().map(|part| help.find(part).unwrap_or_else(|| panic!("{part}: {help}"))).collect();
    assert!(found.is_sorted(), "{found:?}\n{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}
