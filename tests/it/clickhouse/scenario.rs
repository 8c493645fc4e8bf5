//! The scenario of these tests: a private ClickHouse with slow queries, workers, and a watcher of the
//! server's process list. The program's own counters are not trusted here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use support::program::{Running, Sandbox};
use support::servers::{ClickHouse, ask_clickhouse, clickhouse_available};
use support::wait::eventually;
use support::{Context, Result, ensure};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

/// The shortest time to live that a busy machine allows.
const TIMES: &str =
    "[slots]\nttl = \"3500ms\"\nheartbeat = \"600ms\"\nclock_cap = \"1200ms\"\nmargin = \"500ms\"\n";

/// Interval between two reads of the process list. The workers need the processor, too.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The parameters of a scenario.
pub(super) struct ScenarioOptions {
    pub(super) organizations: u32,
    pub(super) slots: u32,
    /// Duration of each query in seconds, as sleeps of at most 3 s. A query can be cancelled between two
    /// sleeps.
    pub(super) sleeps: &'static [u32],
    /// Additional keys of `[spike_projection.clickhouse]`.
    pub(super) backend: &'static str,
    /// Additional keys of `[pools.clickhouse]`, followed by further sections.
    pub(super) config: &'static str,
}

/// The server, and the sandbox of the program.
pub(super) struct Scenario {
    pub(super) server: ClickHouse,
    pub(super) sandbox: Sandbox,
}

impl Scenario {
    /// Starts everything but the run and the workers. Returns `None` if no server is installed; the skipped
    /// test is reported.
    pub(super) fn start(options: &ScenarioOptions) -> Result<Option<Self>> {
        if !clickhouse_available()? {
            return Ok(None);
        }
        let server = ClickHouse::start()?;
        let scenario = Self { server, sandbox: Sandbox::new()? };
        // Before the first command, which creates the pool from the config.
        scenario.configure(options)?;
        organizations::import_as_of(&scenario.sandbox, options.organizations)?;
        let import = ["--set", "spike_projection.clickhouse.table=usage_hourly"];
        let import = [&import[..], &["usage", "import", "usage.csv", "--to", "clickhouse"]].concat();
        scenario.sandbox.run(&import)?.succeeded()?;
        let mut view = String::from("CREATE VIEW slow AS SELECT * FROM usage_hourly WHERE 1 = 1");
        for (index, seconds) in options.sleeps.iter().enumerate() {
            // The subqueries must differ, because the server evaluates equal ones only once.
            write!(view, " AND (SELECT sleep({seconds}) + {index}) = {index}")?;
        }
        scenario.ask(&view)?;
        Ok(Some(scenario))
    }

    fn configure(&self, options: &ScenarioOptions) -> Result {
        let ScenarioOptions { slots, backend, config, .. } = options;
        let backend = format!(
            "[spike_projection]\nsource = \"clickhouse\"\n[spike_projection.clickhouse]\nurl = \"{}/default\"\n\
             table = \"slow\"\nlog_queries = true\n{backend}",
            self.server.url()
        );
        let pool = format!("[pools.clickhouse]\nslots = {slots}\n{config}");
        self.sandbox.write("lockgate.toml", &format!("{TIMES}{backend}{pool}"))?;
        Ok(())
    }

    pub(super) fn ask(&self, statement: &str) -> Result<String> {
        Ok(ask_clickhouse(&self.server.url(), statement)?.trim().to_owned())
    }

    pub(super) fn enqueue(&self) -> Result {
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"];
        self.sandbox.run(&plan)?.succeeded()?;
        Ok(())
    }

    pub(super) fn work(&self, flags: &[&str]) -> Result<Running> {
        self.sandbox.start(&[&["work"], flags].concat())
    }

    pub(super) fn watch(&self) -> QueryWatcher {
        QueryWatcher::of(self.server.url())
    }

    /// Waits until every organization has succeeded, then checks that the account is balanced and every slot
    /// is free.
    pub(super) fn ends_well(&self, organizations: u32, within: Duration) -> Result {
        eventually("every organization has succeeded", within, || {
            let counts = self.sandbox.json(&["runs", "verify", "r"])?;
            Ok((counts["succeeded"].as_u64() == Some(u64::from(organizations))).then_some(()))
        })?;
        self.sandbox.run(&["runs", "verify", "r"])?.succeeded()?;
        eventually("every slot is free", Duration::from_secs(30), || {
            let pool = self.sandbox.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
            Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
        })
    }

    /// Returns how many queries on the slow view completed, and how many the server rejected, according to
    /// its log.
    pub(super) fn logged(&self) -> Result<(u64, u64)> {
        self.ask("SYSTEM FLUSH LOGS")?;
        let counts = self.ask(
            "SELECT countIf(toUInt8(type) = 2), countIf(toUInt8(type) = 3) FROM system.query_log \
             WHERE position(query, concat('FROM ', 'slow')) > 0",
        )?;
        let (ended, refused) = counts.split_once('\t').context("two counts")?;
        Ok((ended.parse()?, refused.parse()?))
    }
}

/// Polls the server's process list until it is dropped.
pub(super) struct QueryWatcher {
    seen: Arc<Mutex<WatchedQueries>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the watcher has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchedQueries {
    /// Largest number of executions with a running query at once.
    pub(super) peak: usize,
    /// Number of reads.
    pub(super) reads: u32,
    /// When the query of each execution, `JOB-ATTEMPT-FENCE`, was first and last seen.
    pub(super) executions: BTreeMap<String, (Duration, Duration)>,
}

impl QueryWatcher {
    fn of(url: String) -> Self {
        let (seen, stop) =
            (Arc::new(Mutex::new(WatchedQueries::default())), Arc::new(AtomicBool::new(false)));
        let (recorded, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let since = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(POLL_INTERVAL);
                // A server that a test has stopped does not respond.
                let Ok(ids) = ask_clickhouse(&url, "SELECT query_id FROM system.processes") else { continue };
                let running: BTreeSet<String> = ids.lines().filter_map(execution).collect();
                let mut seen = recorded.lock().unwrap_or_else(PoisonError::into_inner);
                seen.reads += 1;
                seen.peak = seen.peak.max(running.len());
                let now = since.elapsed();
                for id in running {
                    seen.executions.entry(id).or_insert((now, now)).1 = now;
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    pub(super) fn seen(&self) -> WatchedQueries {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this many executions were seen in total.
    pub(super) fn until(&self, executions: usize, within: Duration) -> Result {
        eventually(&format!("{executions} executions were seen"), within, || {
            Ok((self.seen().executions.len() >= executions).then_some(()))
        })
    }

    /// Checks that there were never more executions than slots at once.
    pub(super) fn never_above(&self, slots: u32) -> Result<WatchedQueries> {
        let seen = self.seen();
        ensure!(seen.reads > 20, "only {} reads", seen.reads);
        ensure!(seen.peak >= 1 && seen.peak <= usize::try_from(slots)?, "{} at once: {seen:#?}", seen.peak);
        Ok(seen)
    }
}

impl Drop for QueryWatcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

/// Returns the `JOB-ATTEMPT-FENCE` of a query id, or `None` for a query of another system.
fn execution(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('-').collect();
    (parts.len() >= 7 && parts[0].len() == 8).then(|| parts[..7].join("-"))
}
