//! The scenario of the fault tests: private servers, a backend that counts its queries, a run executed by
//! three workers, and the checks that must hold afterwards.
//!
//! The backend uses an embedded database of its own, so its counters survive every fault of the servers.

mod broker;
mod undisturbed;

use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use support::program::{Running, Sandbox};
use support::servers::{self, Postgres, Redis};
use support::wait::{block_on, eventually};
use support::{Context, Result, ensure};
use tokio::time::Instant;

use crate::crash;
use crate::organizations::{self, AS_OF};
use undisturbed::undisturbed;

pub(super) use broker::Broker;

pub(super) const SLOTS: u64 = 20;
/// Deliveries that each worker has in flight.
const PREFETCH: u64 = 16;
const WORKERS: usize = 3;
const WORK: [&str; 3] = ["work", "--concurrency", "16"];
/// Longer than a run takes on a busy machine, and than lost messages are waited for, so that a run that hangs
/// is distinguished from a slow one.
const RUN_TIMEOUT: Duration = Duration::from_secs(240);

/// Time to live of a worker without heartbeats, as short as a busy machine allows.
pub(super) const TTL: Duration = Duration::from_millis(3_500);
const TIMES: &str = "heartbeat = \"600ms\"\nclock_cap = \"1200ms\"\nmargin = \"500ms\"\n";

/// The parameters of a scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScenarioOptions {
    /// Number of organizations in the run. Default: 1,000.
    pub(super) organizations: u32,
    /// Time between two batches of ten, until the fault is over. Default: 100ms. The run must still be going
    /// when the fault begins, even on a busy machine.
    pub(super) batch_delay: &'static str,
    /// Config of a private broker. `None` uses a vhost of the shared broker, which must not be harmed.
    /// Default: `None`.
    pub(super) broker: Option<&'static str>,
    /// Slots of the pool. Default: 20.
    pub(super) slots: u64,
}

impl Default for ScenarioOptions {
    fn default() -> Self {
        Self { organizations: 1_000, batch_delay: "100ms", broker: None, slots: SLOTS }
    }
}

/// Servers, backend and workers.
pub(super) struct Scenario {
    pub(super) workers: Vec<Running>,
    pub(super) sandbox: Sandbox,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
    pub(super) broker: Broker,
    backend_url: String,
    options: ScenarioOptions,
    undisturbed: Vec<String>,
    _backend: Running,
    _backend_sandbox: Sandbox,
}

impl Scenario {
    /// Starts everything but the workers and the run. Returns `None` if the servers are not installed; the
    /// skipped test is reported.
    pub(super) fn start(options: ScenarioOptions) -> Result<Option<Self>> {
        if !servers::available()? {
            return Ok(None);
        }
        let panicked = |_| anyhow::anyhow!("starting the scenario panicked");
        // In parallel, because the broker alone takes seconds.
        let (undisturbed, broker, postgres) = std::thread::scope(|scope| {
            let undisturbed = scope.spawn(|| undisturbed(options.organizations));
            let broker = scope.spawn(|| Broker::start(options.broker));
            let postgres = Postgres::start();
            (undisturbed.join().map_err(panicked), broker.join().map_err(panicked), postgres)
        });
        let (backend_sandbox, undisturbed) = undisturbed??;
        let (broker, postgres, redis) = (broker??, postgres?, Redis::start()?);
        let (backend, backend_url) = crash::fake_backend(&backend_sandbox, "50ms")?;
        let sandbox = Sandbox::new()?;
        let scenario = Self {
            workers: Vec::new(),
            sandbox,
            redis,
            postgres,
            broker,
            backend_url,
            options,
            undisturbed,
            _backend: backend,
            _backend_sandbox: backend_sandbox,
        };
        scenario.configure()?;
        Ok(Some(scenario))
    }

    fn configure(&self) -> Result {
        let [postgres, amqp, redis] = [self.postgres.url(), self.broker.url()?, self.redis.url()];
        let servers = format!(
            "[distributed.postgres]\nurl = \"{postgres}\"\n[distributed.amqp]\nurl = \"{amqp}\"\n\
             [distributed.redis]\nurl = \"{redis}\"\n"
        );
        let backend = format!(
            "[spike_projection]\nsource = \"http\"\n[spike_projection.http]\nurl = \"{}\"\nquery_timeout = \"1s\"\n",
            self.backend_url
        );
        // In the config instead of `slots set`, because a store that restarts empty creates the pools of the
        // config.
        let pool = format!("[pools.clickhouse]\nslots = {}\n", self.options.slots);
        let times = format!("[slots]\nttl = \"{}ms\"\n{TIMES}", TTL.as_millis());
        let config = format!("engine = \"distributed\"\n{servers}{times}{pool}{backend}");
        self.sandbox.write("lockgate.toml", &config)?;
        let list = self.sandbox.write("orgs.csv", &organizations::list(self.options.organizations))?;
        self.sandbox
            .run(&["orgs", "import", list.to_str().context("the path is not UTF-8")?])?
            .succeeded()?;
        Ok(())
    }

    /// Plans the run with slow batches, so that it is still going when the fault begins.
    pub(super) fn enqueue(&self) -> Result {
        let delay = self.options.batch_delay;
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "10", "--batch-delay", delay];
        self.sandbox.run(&plan)?.succeeded()?;
        Ok(())
    }

    /// Starts one more worker with these flags.
    pub(super) fn work(&mut self, flags: &[&str]) -> Result {
        let args = [&WORK, flags].concat();
        self.workers.push(self.sandbox.start(&args)?);
        Ok(())
    }

    /// Plans the run, starts three workers, and returns when some jobs are done.
    pub(super) fn under_load(&mut self) -> Result {
        self.enqueue()?;
        for _ in 0..WORKERS {
            self.work(&[])?;
        }
        self.some_more_is_done(60, RUN_TIMEOUT)
    }

    /// Waits until the backend has served this many more queries.
    pub(super) fn some_more_is_done(&self, queries: u64, within: Duration) -> Result {
        self.has_served(self.served()? + queries, within).map(drop)
    }

    /// Checks that more jobs are left than are in flight, so that work after the fault proves that the
    /// workers work.
    pub(super) fn has_much_to_do(&self) -> Result {
        let left = self.all().saturating_sub(self.served()?);
        ensure!(
            left > self.in_flight(),
            "the fault came too late to test anything: {left} organizations are left"
        );
        Ok(())
    }

    /// Waits until work continues after the fault, at most this long. Jobs that were in flight do not count.
    /// On a busy machine, all jobs may be done already.
    pub(super) fn is_back_at_work_within(&self, within: Duration) -> Result {
        let more = self.served()? + self.in_flight() + 1;
        let took = self.has_served(more.min(self.all()), within)?;
        say(&format!("back at work after {took:?}"));
        Ok(())
    }

    /// Waits until the backend has served this many queries in total. Returns the time it took.
    fn has_served(&self, queries: u64, within: Duration) -> Result<Duration> {
        let since = Instant::now();
        eventually(&format!("{queries} queries are served"), within, || {
            Ok((self.served()? >= queries).then_some(()))
        })
        .with_context(|| format!("the workers' logs end with:\n{}", self.log_end()))?;
        Ok(since.elapsed())
    }

    fn in_flight(&self) -> u64 {
        PREFETCH * self.workers.len() as u64
    }

    fn all(&self) -> u64 {
        u64::from(self.options.organizations)
    }

    /// Dispatches the remaining jobs at once. They were slow only so that the run was going when the fault
    /// began. A run that has finished already refuses the change.
    fn without_delay(&self) -> Result {
        let set = self.sandbox.run(&["runs", "set", "r", "--batch-size", "1000", "--batch-delay", "0s"])?;
        let status = self.sandbox.json(&["runs", "show", "r"])?["run"]["status"].take();
        if status == "finished" { Ok(()) } else { set.succeeded().map(drop) }
    }

    /// Waits until the run has ended and checks everything that Lockgate promises.
    pub(super) fn ends_well(&self) -> Result {
        self.without_delay()?;
        let all = self.all();
        let mut last = Value::Null;
        let counts = eventually("every organization has succeeded", RUN_TIMEOUT, || {
            // A cheap query, because the workers need the processor.
            last = self.sandbox.json(&["runs", "show", "r"])?["run"].take();
            let over = ["succeeded", "skipped", "failed", "cancelled"].iter();
            let over: u64 = over.map(|state| last[state].as_u64().unwrap_or(0)).sum();
            Ok((over == all).then(|| last.clone()))
        });
        let counts = counts.with_context(|| format!("the workers' logs end with:\n{}", self.log_end()));
        let counts = counts.with_context(|| format!("{last:#}"))?;
        ensure!(counts["succeeded"].as_u64() == Some(all), "not all have succeeded: {counts:#}");
        self.sandbox.run(&["runs", "verify", "r"])?.succeeded()?;
        eventually("no slot is held", Duration::from_secs(20), || {
            let pool = self.sandbox.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
            Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
        })?;
        self.backend_agrees()?;
        ensure!(
            self.rows()? == self.undisturbed,
            "the stored projections differ from those of an undisturbed run"
        );
        Ok(())
    }

    /// Checks that the backend never counted more queries than slots.
    pub(super) fn backend_agrees(&self) -> Result {
        let peak = crash::status(&self.backend_url)?["peak"].as_u64().context("no peak")?;
        let slots = self.options.slots;
        ensure!(
            (1..=slots).contains(&peak),
            "the backend counted {peak} queries at once, with {slots} slots"
        );
        Ok(())
    }

    pub(super) fn served(&self) -> Result<u64> {
        crash::status(&self.backend_url)?["served"].as_u64().context("no number of served queries")
    }

    /// Returns the log of all processes.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.sandbox.path("processes.log")).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Returns the stored projections as [`crash::rows`] does for the embedded engine.
    fn rows(&self) -> Result<Vec<String>> {
        let url = self.postgres.url();
        block_on(async {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query("SET search_path = lockgate").execute(&mut connection).await?;
            let rows = sqlx::query(include_str!("projections.sql")).fetch_all(&mut connection).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
    }
}

/// Runs a scenario under load, begins and ends a fault, and checks the run. Work must continue within
/// `within` after the end of the fault.
pub(super) fn survives(
    options: ScenarioOptions,
    within: Duration,
    begin: impl FnOnce(&mut Scenario) -> Result,
    end: impl FnOnce(&mut Scenario) -> Result,
) -> Result {
    let Some(mut scenario) = Scenario::start(options)? else { return Ok(()) };
    scenario.under_load()?;
    begin(&mut scenario)?;
    scenario.has_much_to_do()?;
    end(&mut scenario)?;
    scenario.is_back_at_work_within(within)?;
    scenario.ends_well()
}

pub(super) fn say(line: &str) {
    eprintln!("{line}");
}

/// Waits for the duration of a fault.
pub(super) fn lasts(time: Duration) -> Result {
    let begun = Instant::now();
    eventually("the fault is over", time * 2, || Ok((begun.elapsed() >= time).then_some(())))
}
