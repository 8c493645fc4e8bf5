//! Bad input of every kind: one line names the problem and a remedy, the exit code is right, there is no
//! panic, and nothing is lost.

use std::path::Path;
use std::process::Command;

use support::program::{ProgramOutput, Sandbox};
use support::{Context, Result, ensure};

/// A command that must be rejected.
struct Refused {
    args: &'static [&'static str],
    /// Content of the file `input`.
    input: &'static str,
    exit: i32,
    /// Words that the error line must contain.
    names: &'static [&'static str],
}

const fn refused(args: &'static [&'static str], exit: i32, names: &'static [&'static str]) -> Refused {
    Refused { args, input: "", exit, names }
}

const fn with(input: &'static str, case: Refused) -> Refused {
    Refused { input, ..case }
}

const USAGE: i32 = 2;
const DATA: i32 = 65;
const NO_INPUT: i32 = 66;
const CONFIG: i32 = 78;

const CONFIGS: &[Refused] = &[
    with("[worker]\nconcurrency = \"many\"\n", refused(CHECK, CONFIG, &["worker.concurrency", "many"])),
    with("[worker]\nconcurrency = 0\n", refused(CHECK, CONFIG, &["worker.concurrency", "0"])),
    with("[worker]\nconcurency = 8\n", refused(CHECK, CONFIG, &["concurency", "concurrency"])),
    with("[wroker]\nconcurrency = 8\n", refused(CHECK, CONFIG, &["wroker", "worker"])),
    with("[worker]\ngrace = 25\n", refused(CHECK, CONFIG, &["worker.grace", "25s"])),
    with("[runs]\nbatch_delay = \"2 parsecs\"\n", refused(CHECK, CONFIG, &["runs.batch_delay", "parsecs"])),
    with("[runs]\nbatch_size = 0\n", refused(CHECK, CONFIG, &["runs.batch_size"])),
    with("[slots]\nttl = \"2s\"\n", refused(CHECK, CONFIG, &["slots", "heartbeat"])),
    with("[pools.clickhouse]\non_busy = \"panic\"\n", refused(CHECK, CONFIG, &["on_busy", "panic", "defer"])),
    with("[pools.clickhouse]\nslots = -1\n", refused(CHECK, CONFIG, &["slots", "-1"])),
    with(
        "[pools.clickhouse]\nrate = \"fast\"\n",
        refused(CHECK, CONFIG, &["clickhouse.rate", "fast", "10/s"]),
    ),
    with(
        "[pools.clickhouse]\nrate = \"0/s\"\n",
        refused(CHECK, CONFIG, &["clickhouse.rate", "0/s", "one token a day"]),
    ),
    with(
        "[pools.clickhouse]\nrate = \"1/s\"\nburst = 0\n",
        refused(CHECK, CONFIG, &["clickhouse.burst", "at least 1"]),
    ),
    with("[pools.clickhouse]\nburst = 5\n", refused(CHECK, CONFIG, &["clickhouse.burst", "rate = "])),
    with("[pools.clickhouse]\nin_flight = 100\n", refused(CHECK, CONFIG, &["in_flight", "slots"])),
    with(
        "[kinds.spike-projection]\nrate = 10\n",
        refused(CHECK, CONFIG, &["kinds.spike-projection.rate", "10/s"]),
    ),
    with("engine = \"quantum\"\n", refused(CHECK, CONFIG, &["engine", "quantum", "embedded"])),
    with("[worker\n", refused(CHECK, CONFIG, &["input"])),
    with("[spike_projection]\nmethod = \"tea-leaves\"\n", refused(CHECK, CONFIG, &["tea-leaves", "median"])),
];

const CHECK: &[&str] = &["--config", "input", "config", "check"];
const ORGS: &[&str] = &["orgs", "import", "input"];
const COUNTS: &[&str] = &["usage", "import", "input"];
const LIST: &[&str] = &["enqueue", "--orgs", "input"];

const FILES: &[Refused] = &[
    with("", refused(ORGS, DATA, &["input"])),
    with("slug,project\nacme,1\n", refused(ORGS, DATA, &["organization_id"])),
    with(
        "organization_id,slug,project,quota,active\n1,a,1,lots,true\n",
        refused(ORGS, DATA, &["2", "quota", "lots"]),
    ),
    with(
        "organization_id,slug,project,quota,active\n1,a,1,5,perhaps\n",
        refused(ORGS, DATA, &["2", "active", "perhaps"]),
    ),
    with(
        "organization_id,slug,project,quota,active\n1,a,1,-5,true\n",
        refused(ORGS, DATA, &["2", "quota", "-5"]),
    ),
    with("organization_id,slug,project,quota,active\n1,a\n", refused(ORGS, DATA, &["2"])),
    with("{\"organization_id\": 1\n", refused(ORGS, DATA, &["1"])),
    with("project,hour,accepted\nnobody,2026-11-22T09:00:00Z,1\n", refused(COUNTS, DATA, &["2", "nobody"])),
    with("project,hour,accepted\n1,yesterday,1\n", refused(COUNTS, DATA, &["2", "hour", "yesterday"])),
    with(
        "project,hour,accepted\n1,2026-11-22T09:00:00Z,many\n",
        refused(COUNTS, DATA, &["2", "accepted", "many"]),
    ),
    with("organization_id\n1\n\u{1}\n", refused(LIST, DATA, &["3"])),
    refused(&["orgs", "import", "no-such-file"], NO_INPUT, &["no-such-file"]),
    refused(&["usage", "import", "."], NO_INPUT, &["folder"]),
    refused(&["enqueue", "--orgs", "no-such-file"], NO_INPUT, &["no-such-file"]),
];

const FLAGS: &[Refused] = &[
    refused(&["enqueue", "--batch-size", "0"], USAGE, &["--batch-size", "0"]),
    refused(&["enqueue", "--batch-size", "9999"], USAGE, &["--batch-size", "1000"]),
    refused(&["enqueue", "--batch-delay", "soon"], USAGE, &["--batch-delay", "soon"]),
    refused(&["enqueue", "--as-of", "teatime"], USAGE, &["--as-of", "teatime"]),
    refused(&["enqueue", "--start-at", "teatime"], USAGE, &["--start-at", "teatime"]),
    refused(&["work", "--concurrency", "0"], USAGE, &["--concurrency", "0"]),
    refused(&["runs", "shwo", "r"], USAGE, &["shwo", "show"]),
    refused(&["runs", "retry", "r", "--state", "running"], USAGE, &["running"]),
    refused(&["limits", "set", "clickhouse", "--rate", "fast"], USAGE, &["fast", "10/s"]),
    refused(&["limits", "set", "clickhouse", "--rate", "1/s", "--burst", "0"], USAGE, &["--burst", "0"]),
    refused(&["limits", "ramp", "clickhouse", "jump"], USAGE, &["jump", "advance"]),
    refused(&["--output", "yaml", "runs", "list"], USAGE, &["yaml", "json"]),
    refused(&["--config", "no-such.toml", "runs", "list"], CONFIG, &["no-such.toml"]),
    refused(&["--set", "worker.concurrency=none", "work"], CONFIG, &["worker.concurrency", "none"]),
];

const NAMES: &[Refused] = &[
    refused(&["runs", "show", "nope"], NO_INPUT, &["run", "nope"]),
    refused(&["runs", "verify", "nope"], NO_INPUT, &["run", "nope"]),
    refused(&["runs", "pause", "nope"], NO_INPUT, &["run", "nope"]),
    refused(&["runs", "diff", "nope", "neither"], NO_INPUT, &["run", "nope"]),
    refused(&["jobs", "show", "00000000-0000-0000-0000-000000000000"], NO_INPUT, &["job"]),
    refused(&["slots", "show", "nope"], NO_INPUT, &["pool", "nope"]),
    refused(&["slots", "set", "nope", "--slots", "3"], NO_INPUT, &["pool", "nope"]),
    refused(&["limits", "show", "nope"], NO_INPUT, &["limit", "nope"]),
    refused(&["limits", "set", "nope", "--rate", "3/s"], NO_INPUT, &["pool", "nope"]),
    refused(&["projections", "show", "nope"], NO_INPUT, &["nope"]),
];

#[test]
fn bad_config_is_rejected_with_its_key() -> Result {
    check_all(CONFIGS)
}

#[test]
fn bad_file_is_rejected_with_line_and_column() -> Result {
    check_all(FILES)
}

#[test]
fn bad_flag_is_rejected_with_valid_values() -> Result {
    check_all(FLAGS)
}

#[test]
fn unknown_name_is_rejected_with_the_name() -> Result {
    check_all(NAMES)
}

#[test]
fn all_faults_of_a_config_are_reported_at_once() -> Result {
    let sandbox = Sandbox::new()?;
    sandbox
        .write("input", "[worker]\nconcurrency = 0\ngrace = \"x\"\n[runs]\nbatch_size = -1\n[nonsense]\n")?;
    let ended = sandbox.run(CHECK)?;
    assert_eq!(ended.code, Some(CONFIG));
    let text = ended.stdout + &ended.stderr;
    for key in ["worker.concurrency", "worker.grace", "runs.batch_size", "nonsense"] {
        ensure!(text.contains(key), "{key} is not named in:\n{text}");
    }
    Ok(())
}

#[test]
fn file_that_is_not_a_database_is_rejected_and_unchanged() -> Result {
    let sandbox = Sandbox::new()?;
    let text = "this is not a database, and must not be overwritten".repeat(100);
    let path = sandbox.write("lockgate.db", &text)?;
    refuses(&sandbox.run(&["runs", "list"])?, DATA, &["lockgate.db"])?;
    assert_eq!(std::fs::read_to_string(path)?, text);
    Ok(())
}

#[test]
fn database_of_a_newer_version_is_rejected() -> Result {
    let sandbox = Sandbox::new()?;
    sandbox.run(&["migrate", "up"])?.succeeded()?;
    let newer = "INSERT INTO lockgate_migrations SELECT component, 9999, 'from the future', checksum, applied_at \
                 FROM lockgate_migrations WHERE component = 'lockgate' LIMIT 1";
    sqlite(&sandbox, newer)?;
    refuses(&sandbox.run(&["runs", "list"])?, DATA, &["newer", "9999"])?;
    Ok(())
}

#[test]
fn database_that_cannot_be_created_is_rejected_with_its_path() -> Result {
    let sandbox = Sandbox::new()?;
    refuses(&sandbox.run(&["--db", "/proc/nowhere/lockgate.db", "runs", "list"])?, 73, &["/proc/nowhere"])?;
    refuses(&sandbox.run(&["--db", ".", "runs", "list"])?, 73, &["folder"])?;
    Ok(())
}

#[test]
fn full_disk_is_reported_and_loses_no_accepted_job() -> Result {
    let sandbox = Sandbox::new()?;
    let Some(disk) = SmallDisk::mount(&sandbox.path("disk"))? else {
        support::bail!("mounting a small file system needs root or a user namespace; run the tests as root")
    };
    let db = disk.folder.join("lockgate.db");
    let db = db.to_str().context("the path is not UTF-8")?;
    sandbox.run(&["--db", db, "migrate", "up"])?.succeeded()?;
    let list = |range: std::ops::Range<u32>| range.map(|id| format!("{id}\n")).collect::<String>();
    let small = sandbox.write("small.txt", &list(0..100))?;
    let small = small.to_str().context("the path is not UTF-8")?;
    sandbox.run(&["--db", db, "enqueue", "--run", "small", "--orgs", small])?.succeeded()?;
    let big = sandbox.write("big.txt", &list(0..200_000))?;
    let big = big.to_str().context("the path is not UTF-8")?;
    refuses(&sandbox.run(&["--db", db, "enqueue", "--run", "big", "--orgs", big])?, 74, &["disk", "full"])?;
    // With such a short heartbeat, every read would persist the clock of the slots, for which there is no
    // space.
    sandbox.run(&["--db", db, "--set", "slots.heartbeat=10ms", "runs", "verify", "small"])?.succeeded()?;
    Ok(())
}

fn check_all(cases: &[Refused]) -> Result {
    for case in cases {
        let sandbox = Sandbox::new()?;
        sandbox.write("input", case.input)?;
        let ended = sandbox.run(case.args)?;
        refuses(&ended, case.exit, case.names)
            .with_context(|| format!("{:?} with input {:?}", case.args, case.input))?;
    }
    Ok(())
}

/// Checks the exit code, and that a single line names these words, without a panic.
fn refuses(ended: &ProgramOutput, exit: i32, names: &[&str]) -> Result {
    ensure!(ended.code == Some(exit), "exit {:?} instead of {exit}: {}", ended.code, ended.stderr);
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    // `config check` prints the faults as its result; other commands print an error.
    let faults = ended.args.iter().any(|arg| arg == "check");
    let text = if faults { &ended.stdout } else { &ended.stderr };
    let lines: Vec<&str> = text.lines().filter(|line| faults || line.starts_with("error: ")).collect();
    ensure!(lines.len() == 1, "not exactly one line: {text}");
    for name in names {
        ensure!(
            lines[0].to_lowercase().contains(&name.to_lowercase()),
            "{name:?} is not named: {}",
            lines[0]
        );
    }
    Ok(())
}

fn sqlite(sandbox: &Sandbox, statement: &'static str) -> Result {
    use sqlx::Connection;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(sandbox.path("lockgate.db"));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
        sqlx::query(statement).execute(&mut connection).await?;
        Ok(())
    })
}

/// A file system of four megabytes, unmounted on drop.
struct SmallDisk {
    folder: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Result<Option<Self>> {
        std::fs::create_dir(folder)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success());
        Ok(mounted.then(|| Self { folder: folder.to_path_buf() }))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.folder).status());
    }
}
