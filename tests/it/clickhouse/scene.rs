//! A private ClickHouse whose queries take long, workers that ask it, and a look at what it runs, by the server's own list.
//!
//! It must never take the program's word for what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use support::program::{Place, Running};
use support::servers::{ClickHouse, ask_clickhouse, clickhouse_available};
use support::wait::eventually;
use support::{Context, Result, ensure};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

/// As short as a worker's time without a sign of life may be on a busy machine.
const TIMES: &str =
    "[slots]\nttl = \"3500ms\"\nheartbeat = \"600ms\"\nclock_cap = \"1200ms\"\nmargin = \"500ms\"\n";

/// The workers need the processor, too.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// What a scene is made of.
pub(super) struct Stage {
    pub(super) organizations: u32,
    pub(super) slots: u32,
    /// How long each query takes: naps of at most 3 s, between which it can be ended.
    pub(super) naps: &'static [u32],
    /// More keys of `[spike_projection.clickhouse]`.
    pub(super) backend: &'static str,
    /// More sections, or keys of `[pools.clickhouse]` at their beginning.
    pub(super) config: &'static str,
}

/// The server and the program.
pub(super) struct Scene {
    pub(super) server: ClickHouse,
    pub(super) place: Place,
}

impl Scene {
    /// Everything but the run and the workers. `None`: there is no server, which has been said aloud.
    pub(super) fn set(stage: &Stage) -> Result<Option<Self>> {
        if !clickhouse_available()? {
            return Ok(None);
        }
        let server = ClickHouse::start()?;
        let scene = Self { server, place: Place::new()? };
        // First: the pool is made as it says by the first command.
        scene.configure(stage)?;
        organizations::import_as_of(&scene.place, stage.organizations)?;
        let import = ["--set", "spike_projection.clickhouse.table=usage_hourly"];
        let import = [&import[..], &["usage", "import", "usage.csv", "--to", "clickhouse"]].concat();
        scene.place.run(&import)?.succeeded()?;
        let mut view = String::from("CREATE VIEW slow AS SELECT * FROM usage_hourly WHERE 1 = 1");
        for (place, seconds) in stage.naps.iter().enumerate() {
            // No two alike: the server works a subquery out once.
            write!(view, " AND (SELECT sleep({seconds}) + {place}) = {place}")?;
        }
        scene.ask(&view)?;
        Ok(Some(scene))
    }

    fn configure(&self, stage: &Stage) -> Result {
        let Stage { slots, backend, config, .. } = stage;
        let backend = format!(
            "[spike_projection]\nsource = \"clickhouse\"\n[spike_projection.clickhouse]\nurl = \"{}/default\"\n\
             table = \"slow\"\nlog_queries = true\n{backend}",
            self.server.url()
        );
        let pool = format!("[pools.clickhouse]\nslots = {slots}\n{config}");
        self.place.write("lockgate.toml", &format!("{TIMES}{backend}{pool}"))?;
        Ok(())
    }

    pub(super) fn ask(&self, statement: &str) -> Result<String> {
        Ok(ask_clickhouse(&self.server.url(), statement)?.trim().to_owned())
    }

    pub(super) fn enqueue(&self) -> Result {
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"];
        self.place.run(&plan)?.succeeded()?;
        Ok(())
    }

    pub(super) fn work(&self, flags: &[&str]) -> Result<Running> {
        self.place.start(&[&["work"], flags].concat())
    }

    pub(super) fn watch(&self) -> Watch {
        Watch::of(self.server.url())
    }

    /// Every organization of the run has succeeded, the account is balanced, and every slot is back.
    pub(super) fn ends_well(&self, organizations: u32, within: Duration) -> Result {
        eventually("every organization has succeeded", within, || {
            let counts = self.place.json(&["runs", "verify", "r"])?;
            Ok((counts["succeeded"].as_u64() == Some(u64::from(organizations))).then_some(()))
        })?;
        self.place.run(&["runs", "verify", "r"])?.succeeded()?;
        eventually("every slot is back", Duration::from_secs(30), || {
            let pool = self.place.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
            Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
        })
    }

    /// What the server has logged of queries on the slow view: how many came to their end, and how many it refused.
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

/// Looks at what the server runs, every few milliseconds, until it is dropped.
pub(super) struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The most executions that had a query at once.
    pub(super) peak: usize,
    /// How often was looked.
    pub(super) looks: u32,
    /// Each execution, `JOB-ATTEMPT-FENCE`, and when its query was seen first and last.
    pub(super) executions: BTreeMap<String, (Duration, Duration)>,
}

impl Watch {
    fn of(url: String) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let since = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(BETWEEN_LOOKS);
                // A server that was stopped on purpose does not answer.
                let Ok(ids) = ask_clickhouse(&url, "SELECT query_id FROM system.processes") else { continue };
                let running: BTreeSet<String> = ids.lines().filter_map(execution).collect();
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                seen.looks += 1;
                seen.peak = seen.peak.max(running.len());
                let now = since.elapsed();
                for id in running {
                    seen.executions.entry(id).or_insert((now, now)).1 = now;
                }
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many executions were seen at work, all in all.
    pub(super) fn until(&self, executions: usize, within: Duration) -> Result {
        eventually(&format!("{executions} executions were seen"), within, || {
            Ok((self.seen().executions.len() >= executions).then_some(()))
        })
    }

    /// That there were never more at once.
    pub(super) fn never_above(&self, slots: u32) -> Result<Seen> {
        let seen = self.seen();
        ensure!(seen.looks > 20, "looked {} times only", seen.looks);
        ensure!(seen.peak >= 1 && seen.peak <= usize::try_from(slots)?, "{} at once: {seen:#?}", seen.peak);
        Ok(seen)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

/// `JOB-ATTEMPT-FENCE` of an id that may have more behind; `None` for the id of somebody else's query.
fn execution(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('-').collect();
    (parts.len() >= 7 && parts[0].len() == 8).then(|| parts[..7].join("-"))
}
