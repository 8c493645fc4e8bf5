//! What each fault happens to: private servers, a backend that counts, a run that is worked off by three workers; and
//! what must be true afterwards.
//!
//! The backend reads a database of its own, an embedded one, so that its count goes on whatever happens to the servers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, PgConnection, Row};
use support::program::{Place, Running};
use support::servers::{self, Postgres, RabbitMq, Redis, Shared};
use support::wait::{block_on, eventually};
use support::{Context, Result, ensure};
use tokio::time::Instant;

use crate::crash;
use crate::organizations::{self, AS_OF};

pub(super) const SLOTS: u64 = 20;
/// Deliveries that a worker has at hand.
const WINDOW: u64 = 16;
const WORKERS: usize = 3;
const WORK: [&str; 3] = ["work", "--concurrency", "16"];
/// Far longer than a run takes on a busy machine, and longer than lost messages are waited for: a run that hangs is to be told
/// from a slow one.
const TO_THE_END: Duration = Duration::from_secs(240);

/// How long a worker is thought to live without a sign of life: as short as it may be on a busy machine.
pub(super) const TTL: Duration = Duration::from_millis(3_500);
const TIMES: &str = "heartbeat = \"600ms\"\nclock_cap = \"1200ms\"\nmargin = \"500ms\"\n";

/// What a scene is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    /// How many organizations the run has.
    pub(super) organizations: u32,
    /// From ten of them to the next ten, until the fault is over. It has to find the run at work, however busy the machine is.
    pub(super) batch_delay: &'static str,
    /// The config of a broker of the scene's own; `None`: a vhost on the shared one, which comes to no harm.
    pub(super) broker: Option<&'static str>,
    /// Slots of the pool.
    pub(super) slots: u64,
}

impl Default for Stage {
    fn default() -> Self {
        Self { organizations: 1_000, batch_delay: "100ms", broker: None, slots: SLOTS }
    }
}

/// The broker of a scene.
pub(super) enum Broker {
    Own(Box<RabbitMq>),
    Shared(&'static Shared, String),
}

impl Broker {
    fn start(config: Option<&str>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        if let Some(config) = config {
            return Ok(Self::Own(Box::new(RabbitMq::start_with(config)?)));
        }
        let shared = servers::shared()?.context("the servers were there a moment ago")?;
        let name = format!("faults-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        shared.vhost(&name)?;
        Ok(Self::Shared(shared, name))
    }

    pub(super) fn url(&self) -> Result<String> {
        match self {
            Self::Own(own) => Ok(own.url()),
            Self::Shared(shared, name) => {
                let place = shared.amqp_url().rsplit_once('/').context("a url without a vhost")?.0;
                Ok(format!("{place}/{name}"))
            }
        }
    }

    pub(super) fn vhost(&self) -> &str {
        match self {
            Self::Own(_) => "/",
            Self::Shared(_, name) => name,
        }
    }

    pub(super) fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        match self {
            Self::Own(own) => own.rabbitmqctl(args),
            Self::Shared(shared, _) => shared.rabbitmqctl(args),
        }
    }
}

/// Servers, backend, workers.
pub(super) struct Scene {
    pub(super) workers: Vec<Running>,
    pub(super) place: Place,
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
    pub(super) broker: Broker,
    backend_url: String,
    stage: Stage,
    undisturbed: Vec<String>,
    _backend: Running,
    _backend_place: Place,
}

impl Scene {
    /// Everything but workers and run. `None` where the servers are not installed, which has been said aloud.
    pub(super) fn set(stage: Stage) -> Result<Option<Self>> {
        if !servers::available()? {
            return Ok(None);
        }
        let ended = |_| anyhow::anyhow!("setting the scene panicked");
        // Side by side: the broker alone takes seconds.
        let (undisturbed, broker, postgres) = std::thread::scope(|scope| {
            let undisturbed = scope.spawn(|| undisturbed(stage.organizations));
            let broker = scope.spawn(|| Broker::start(stage.broker));
            let postgres = Postgres::start();
            (undisturbed.join().map_err(ended), broker.join().map_err(ended), postgres)
        });
        let (backend_place, undisturbed) = undisturbed??;
        let (broker, postgres, redis) = (broker??, postgres?, Redis::start()?);
        let (backend, backend_url) = crash::stand_in(&backend_place, "50ms")?;
        let place = Place::new()?;
        let scene = Self {
            workers: Vec::new(),
            place,
            redis,
            postgres,
            broker,
            backend_url,
            stage,
            undisturbed,
            _backend: backend,
            _backend_place: backend_place,
        };
        scene.configure()?;
        Ok(Some(scene))
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
        // In the config, not by `slots set`: a store that comes back empty makes the pools that the config has.
        let pool = format!("[pools.clickhouse]\nslots = {}\n", self.stage.slots);
        let times = format!("[slots]\nttl = \"{}ms\"\n{TIMES}", TTL.as_millis());
        let config = format!("engine = \"distributed\"\n{servers}{times}{pool}{backend}");
        self.place.write("lockgate.toml", &config)?;
        let list = self.place.write("orgs.csv", &organizations::list(self.stage.organizations))?;
        self.place.run(&["orgs", "import", list.to_str().context("a path that is no text")?])?.succeeded()?;
        Ok(())
    }

    /// Plans the run, so slowly that a fault finds it at work.
    pub(super) fn enqueue(&self) -> Result {
        let delay = self.stage.batch_delay;
        let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "10", "--batch-delay", delay];
        self.place.run(&plan)?.succeeded()?;
        Ok(())
    }

    /// Starts one more worker, with these flags.
    pub(super) fn work(&mut self, flags: &[&str]) -> Result {
        let args = [&WORK, flags].concat();
        self.workers.push(self.place.start(&args)?);
        Ok(())
    }

    /// Plans the run, starts three workers, and returns when a part of it is done.
    pub(super) fn under_load(&mut self) -> Result {
        self.enqueue()?;
        for _ in 0..WORKERS {
            self.work(&[])?;
        }
        self.some_more_is_done(60, TO_THE_END)
    }

    /// Waits until the backend has served this many more queries.
    pub(super) fn some_more_is_done(&self, queries: u64, within: Duration) -> Result {
        self.has_served(self.served()? + queries, within).map(drop)
    }

    /// More is left than what the workers have at hand: what they do from here on, they do because they are at work.
    pub(super) fn has_much_to_do(&self) -> Result {
        let left = self.all().saturating_sub(self.served()?);
        ensure!(
            left > self.at_hand(),
            "the fault came too late to test anything: {left} organizations are left"
        );
        Ok(())
    }

    /// The fault is over: work goes on within this time. What the workers still had at hand does not count. On a busy
    /// machine all can be done before anybody looks.
    pub(super) fn is_back_at_work_within(&self, limit: Duration) -> Result {
        let more = self.served()? + self.at_hand() + 1;
        let took = self.has_served(more.min(self.all()), limit)?;
        say(&format!("back at work after {took:?}"));
        Ok(())
    }

    /// How long it takes until the backend has served this many queries since it was started.
    fn has_served(&self, queries: u64, within: Duration) -> Result<Duration> {
        let since = Instant::now();
        eventually(&format!("{queries} queries are served"), within, || {
            Ok((self.served()? >= queries).then_some(()))
        })
        .with_context(|| format!("the workers' logs end with:\n{}", self.log_end()))?;
        Ok(since.elapsed())
    }

    fn at_hand(&self) -> u64 {
        WINDOW * self.workers.len() as u64
    }

    fn all(&self) -> u64 {
        u64::from(self.stage.organizations)
    }

    /// From here on the rest is dispatched at once: it was slow so that a fault finds it at work. A run that has finished
    /// already refuses the change.
    fn without_delay(&self) -> Result {
        let set = self.place.run(&["runs", "set", "r", "--batch-size", "1000", "--batch-delay", "0s"])?;
        let status = self.place.json(&["runs", "show", "r"])?["run"]["status"].take();
        if status == "finished" { Ok(()) } else { set.succeeded().map(drop) }
    }

    /// The run ends by itself, and everything that was promised is true.
    pub(super) fn ends_well(&self) -> Result {
        self.without_delay()?;
        let all = self.all();
        let mut last = Value::Null;
        let counts = eventually("every organization has succeeded", TO_THE_END, || {
            // One query at a time: the workers need the processor.
            last = self.place.json(&["runs", "show", "r"])?["run"].take();
            let over = ["succeeded", "skipped", "failed", "cancelled"].iter();
            let over: u64 = over.map(|state| last[state].as_u64().unwrap_or(0)).sum();
            Ok((over == all).then(|| last.clone()))
        });
        let counts = counts.with_context(|| format!("the workers' logs end with:\n{}", self.log_end()));
        let counts = counts.with_context(|| format!("{last:#}"))?;
        ensure!(counts["succeeded"].as_u64() == Some(all), "not all have succeeded: {counts:#}");
        self.place.run(&["runs", "verify", "r"])?.succeeded()?;
        eventually("no slot is held any more", Duration::from_secs(20), || {
            let pool = self.place.json(&["slots", "show", "clickhouse"])?["pools"][0].take();
            Ok((pool["held"] == 0 && pool["draining"] == 0).then_some(()))
        })?;
        self.backend_agrees()?;
        ensure!(self.rows()? == self.undisturbed, "the rows are not those of an undisturbed run");
        Ok(())
    }

    /// The backend itself has never counted more than the slots.
    pub(super) fn backend_agrees(&self) -> Result {
        let peak = self.status()?["peak"].as_u64().context("no peak")?;
        let slots = self.stage.slots;
        ensure!((1..=slots).contains(&peak), "the backend itself counted {peak} at once, of {slots} slots");
        Ok(())
    }

    pub(super) fn served(&self) -> Result<u64> {
        self.status()?["served"].as_u64().context("no count of what was served")
    }

    /// What all processes have logged.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.place.path("processes.log")).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn status(&self) -> Result<Value> {
        crash::status(&self.backend_url)
    }

    /// What the jobs have stored: the same text as [`crash::rows`] makes of the other engine's tables.
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

/// Puts a scene under load, lets a fault begin and end, and holds the run to its promises. `within` is how soon work must
/// go on after the end.
pub(super) fn outlives(
    stage: Stage,
    within: Duration,
    begin: impl FnOnce(&mut Scene) -> Result,
    end: impl FnOnce(&mut Scene) -> Result,
) -> Result {
    let Some(mut scene) = Scene::set(stage)? else { return Ok(()) };
    scene.under_load()?;
    begin(&mut scene)?;
    scene.has_much_to_do()?;
    end(&mut scene)?;
    scene.is_back_at_work_within(within)?;
    scene.ends_well()
}

/// The same run on the other engine, without a fault, and the place where it ran: its usage serves the backend.
fn undisturbed(organizations: u32) -> Result<(Place, Vec<String>)> {
    let place = organizations::imported(organizations)?;
    place
        .run(&["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"])?
        .succeeded()?;
    place.run(&["work", "--until-idle"])?.succeeded()?;
    let rows = crash::rows(&place)?;
    ensure!(!rows.is_empty(), "an undisturbed run stores something");
    Ok((place, rows))
}

pub(super) fn say(line: &str) {
    eprintln!("{line}");
}

/// Waits: the fault itself is a time.
pub(super) fn lasts(time: Duration) -> Result {
    let begun = Instant::now();
    eventually("the fault is over", time * 2, || Ok((begun.elapsed() >= time).then_some(())))
}
