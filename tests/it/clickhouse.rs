//! A real ClickHouse as the protected backend. The program runs as a user runs it, and the tests read the
//! server directly.

mod endings;
mod evening;
mod kills;
mod outage;
mod scenario;
mod together;

use std::process::Command;

use serde_json::Value;
use support::program::{ProgramOutput, Sandbox};
use support::servers::{
    ClickHouse, ask_clickhouse, clickhouse_available, create_clickhouse_database, shared_clickhouse,
};
use support::{Context, Result, ensure};

const ORGANIZATIONS: &str = "organization_id,slug,project,quota\n7,seven,70,500000\n8,eight,80,500000\n";

/// A scratch folder for the program, and its own database on the server.
struct Scenario {
    sandbox: Sandbox,
    url: String,
    server: String,
}

impl Scenario {
    /// Returns `None` if no server is installed; the skipped test is reported.
    fn new(database: &str) -> Result<Option<Self>> {
        let Some(server) = shared_clickhouse()? else { return Ok(None) };
        Self::on(server, database).map(Some)
    }

    fn on(server: String, database: &str) -> Result<Self> {
        let url = create_clickhouse_database(&server, &format!("it_{database}_{}", std::process::id()))?;
        let sandbox = Sandbox::new()?;
        Ok(Self { sandbox, url, server })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command.env("LOCKGATE__SPIKE_PROJECTION__SOURCE", "clickhouse");
        command.env("LOCKGATE__SPIKE_PROJECTION__CLICKHOUSE__URL", &self.url);
        command
    }

    fn run(&self, args: &[&str]) -> Result<ProgramOutput> {
        ProgramOutput::of(&mut self.command(args), args)
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        self.run(&[args, &["--output", "json"]].concat())?.succeeded()?.json()
    }

    fn ask(&self, statement: &str) -> Result<String> {
        // Here the database is a parameter; only the program's own setting has it in the path.
        let database = self.url.rsplit('/').next().context("no database")?;
        Ok(ask_clickhouse(&format!("{}/?database={database}", self.server), statement)?.trim().to_owned())
    }
}

/// A week of usage up to the hour of the runs.
fn a_week() -> String {
    let hour = |n: u32| {
        let day = format!("2026-11-{:02}T{:02}:00:00Z", 15 + n / 24, n % 24);
        format!("70,{day},{},{}\n80,{day},{},0\n", 100 + n % 24, n % 5, 7 * n)
    };
    "project,hour,accepted,dropped\n".to_owned() + &(0..168).map(hour).collect::<String>()
}

const AS_OF: &str = "2026-11-22T00";

/// Plans and executes a run, and returns the projections of organization 7.
fn projected(scenario: &Scenario, from: &str) -> Result<Value> {
    let source = format!("spike_projection.source={from}");
    scenario.run(&["enqueue", "--as-of", AS_OF, "--run", from, "--batch-delay", "0s"])?.succeeded()?;
    scenario.run(&["--set", &source, "work", "--until-idle"])?.succeeded()?;
    let run = scenario.json(&["runs", "verify", from])?;
    let jobs = scenario.json(&["jobs", "list", "--run", from])?;
    let states: Vec<_> =
        jobs["jobs"].as_array().context("no jobs")?.iter().map(|job| &job["state"]).collect();
    ensure!(states == ["succeeded", "succeeded"], "{jobs:#} {run:#}");
    let mut shown = scenario.json(&["projections", "show", "7"])?["projections"].take();
    for row in shown.as_array_mut().context("no projections")? {
        row.as_object_mut().context("no row")?.remove("computed_at");
    }
    Ok(shown)
}

#[test]
fn usage_in_clickhouse_is_projected_like_usage_in_the_embedded_database() -> Result {
    let Some(scenario) = Scenario::new("import")? else { return Ok(()) };
    let orgs = scenario.sandbox.write("orgs.csv", ORGANIZATIONS)?.display().to_string();
    let usage = scenario.sandbox.write("usage.csv", &a_week())?.display().to_string();
    scenario.run(&["orgs", "import", &orgs])?.succeeded()?;
    let imported = scenario.json(&["usage", "import", &usage, "--to", "clickhouse"])?;
    assert_eq!((&imported["lines"], &imported["new"]), (&336.into(), &336.into()));
    let again = scenario.json(&["usage", "import", &usage, "--to", "clickhouse"])?;
    assert_eq!((&again["lines"], &again["new"]), (&336.into(), &0.into()));
    assert_eq!(
        scenario.ask("SELECT sum(times_seen), count() > 336 FROM usage_hourly WHERE outcome = 0")?,
        "336\t0"
    );
    let from_clickhouse = projected(&scenario, "clickhouse")?;
    scenario.run(&["usage", "import", &usage])?.succeeded()?;
    assert_eq!(projected(&scenario, "sql")?, from_clickhouse);
    assert_eq!(from_clickhouse.as_array().map(Vec::len), Some(168));
    Ok(())
}

#[test]
fn import_that_clickhouse_cannot_store_is_rejected_with_a_hint() -> Result {
    let Some(scenario) = Scenario::new("refused")? else { return Ok(()) };
    let orgs = format!("{ORGANIZATIONS}o9,nine,90,1\n7,seven,web,1\n");
    let orgs = scenario.sandbox.write("orgs.csv", &orgs)?.display().to_string();
    scenario.run(&["orgs", "import", &orgs])?.succeeded()?;
    let import = |text: &str, more: &[&str]| {
        let text = format!("project,hour,accepted\n70,2026-11-22T08:00:00Z,1\n{text}\n");
        let file = scenario.sandbox.write("usage.csv", &text)?.display().to_string();
        scenario.run(&[more, &["usage", "import", &file, "--to", "clickhouse"]].concat())
    };
    let nowhere = ["--set", "spike_projection.clickhouse.url=http://127.0.0.1:9/default"];
    for (text, more, code, expected) in [
        (
            "web,2026-11-22T08:00:00Z,1",
            &[][..],
            65,
            "line 3: column project: the project \"web\" is not a whole number",
        ),
        (
            "90,2026-11-22T08:00:00Z,1",
            &[],
            65,
            "line 3: column project: its organization \"o9\" is not a whole number",
        ),
        ("80,2026-11-22T08:00:00Z,1", &nowhere, 69, "cannot reach ClickHouse"),
    ] {
        let ended = import(text, more)?;
        ensure!(ended.code == Some(code) && ended.stderr.contains(expected), "{ended:#?}");
    }
    assert_eq!(scenario.ask("SELECT count() FROM usage_hourly")?, "0", "a rejected file stores nothing");
    import("80,2026-11-22T08:00:00Z,1", &[])?.succeeded()?;
    let other = import("80,2026-11-22T08:00:00Z,2", &[])?;
    ensure!(other.code == Some(65) && other.stderr.contains("does not replace"), "{other:#?}");
    Ok(())
}

#[test]
fn config_with_contradictory_timeouts_is_rejected_before_anything_runs() -> Result {
    let sandbox = Sandbox::new()?;
    for (key, value, expected) in [
        ("timeout", "20s", "timeout must be longer than query_timeout"),
        ("query_timeout", "1500ms", "whole seconds"),
        ("url", "http://me:hush@db.example/usage", "without TLS"),
        ("url", "http://127.0.0.1:8123/a/b", "its path must be the name of a database"),
        ("table", "a;b", "is not a valid name of a table"),
    ] {
        let set = format!("spike_projection.clickhouse.{key}={value}");
        let ended = sandbox.run(&["--set", &set, "config", "check"])?;
        ensure!(ended.code == Some(78) && ended.stdout.contains(expected), "{ended:#?}");
        ensure!(
            !format!("{}{}", ended.stdout, ended.stderr).contains("hush"),
            "a password is shown: {ended:#?}"
        );
    }
    let shown =
        sandbox.run(&["--set", "spike_projection.clickhouse.url=https://me:hush@h/d", "config", "show"])?;
    ensure!(shown.succeeded()?.stdout.contains("***:***@h") && !shown.stdout.contains("hush"), "{shown:#?}");
    Ok(())
}

fn demo(scenario: &Scenario, args: &[&str]) -> Result<Value> {
    let backend = scenario.url.replace("http://", "clickhouse://");
    let all = [&["demo", "--backend", &backend, "--output", "json"], args].concat();
    scenario.run(&all)?.json()
}

#[test]
fn demo_on_a_real_server_has_no_rejected_query_and_never_runs_more_queries_than_slots() -> Result {
    let Some(scenario) = Scenario::new("demo")? else { return Ok(()) };
    let args = [
        "--orgs",
        "120",
        "--slots",
        "10",
        "--batch-delay",
        "0s",
        "--processes",
        "2",
        "--query-time",
        "200ms",
    ];
    let summary = demo(&scenario, &args)?;
    for (name, value) in [("planned", 120), ("succeeded", 120), ("refused", 0), ("failed", 0)] {
        assert_eq!(summary[name], value, "{summary:#}");
    }
    let backend = &summary["backend"];
    assert_eq!((&backend["fake_backend"], &summary["coverage"]), (&false.into(), &1.0.into()), "{summary:#}");
    let peak = backend["peak"].as_u64().context("no peak")?;
    ensure!((2..=10).contains(&peak), "{peak} queries ran at once: {summary:#}");
    ensure!(backend["served"].as_u64().context("no number of served queries")? >= 120, "{summary:#}");
    assert_eq!(
        scenario.ask("SELECT count() FROM system.tables WHERE database = currentDatabase()")?,
        "0",
        "the demo's tables are not dropped"
    );
    Ok(())
}

#[test]
fn without_slots_a_real_server_rejects_queries_and_each_rejection_defers_a_job_without_an_attempt() -> Result
{
    if !clickhouse_available()? {
        return Ok(());
    }
    // A private server, because the test fills it to its limit.
    let server = ClickHouse::start()?;
    let scenario = Scenario::on(server.url(), "evening")?;
    let summary = demo(&scenario, &["--orgs", "159", "--without-slots", "--query-time", "3s"])?;
    for (name, value) in [("planned", 159), ("succeeded", 159), ("failed", 0), ("skipped", 0)] {
        assert_eq!(summary[name], value, "{summary:#}");
    }
    let refused = summary["refused"].as_u64().context("no refusals")?;
    let deferred = summary["deferrals"]["all"].as_u64().context("no deferrals")?;
    ensure!(refused > 0 && deferred == refused, "each rejection is a deferral: {summary:#}");
    let peak = summary["backend"]["peak"].as_u64().context("no peak")?;
    ensure!((51..=100).contains(&peak), "{summary:#}");
    Ok(())
}

#[test]
fn audit_ignores_queries_of_other_systems_on_the_same_server() -> Result {
    if !clickhouse_available()? {
        return Ok(());
    }
    let server = ClickHouse::start()?;
    let scenario = Scenario::on(server.url(), "audit")?;
    let config =
        "[spike_projection]\nsource = \"clickhouse\"\n[spike_projection.clickhouse]\nlog_queries = true\n";
    scenario.sandbox.write("lockgate.toml", config)?;
    scenario.run(&["slots", "set", "clickhouse", "--slots", "1"])?.succeeded()?;
    // Two queries of executions that hold no lease of this pool, and one whose id is not of an execution.
    let ids =
        ["00000000-0000-7000-8000-000000000001-1-7", "00000000-0000-7000-8000-000000000002-1-8", "else"];
    std::thread::scope(|threads| {
        let asked = ids.map(|id| {
            let url = format!("{}/?log_queries=1&query_id={id}", scenario.server);
            threads.spawn(move || ask_clickhouse(&url, "SELECT sleep(2.5)"))
        });
        asked.into_iter().try_for_each(|asked| asked.join().ok().context("asking panicked")?.map(drop))
    })?;
    let ended = scenario.run(&["slots", "audit", "clickhouse", "--output", "json"])?;
    let audit = ended.json()?;
    let backend = &audit["backend"];
    assert_eq!((backend["peak"].as_u64(), backend["refused"].as_u64()), (Some(0), Some(0)), "{audit:#}");
    assert_eq!((audit["kept"].as_bool(), ended.code), (Some(true), Some(0)), "{audit:#}");
    Ok(())
}
