//! `demo`: the whole story in one command, on real usage. It makes a database, cuts the bundled series into
//! organizations, plans a run over them, works it off against a stand-in for the backend, and sums up.
//!
//! It uses what every other command uses, and no back door: the same tables, run, worker and source.

mod backend;
mod clickhouse;
mod fill;
mod ids;
mod place;
mod summary;
mod windows;
mod workers;

use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::core::cadence::Cadence;
use lockgate::core::pool::{PoolChange, PoolCommand};
use lockgate::{Job, Lockgate, PoolName, RunName, Timestamp};
use lockgate_cli::{Command, Exit, Session, Terminal, examples, fanout, follow, signals, times};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bundled;
use crate::config::{SECTION, SpikeSettings};
use crate::hour::Hour;
use crate::job::ProjectSpikes;
use crate::program;
use crate::stand_in::StandInOptions;
use crate::store::Store;
use backend::{Backend, STAND_IN};
use place::Place;
use summary::{Evening, Summary};
use windows::Cut;
use workers::Workers;

/// Slots of a pool that holds nobody up: worker processes of their own take slots like any other.
const NO_LIMIT: u32 = 1_000_000;

/// `demo`
pub struct Demo;

#[derive(Debug, Args)]
struct Arguments {
    /// How many organizations
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orgs: u32,

    /// Slots of the pool
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    slots: u32,

    /// Worker processes. One on the embedded engine is this process; others are started and ended by it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,

    /// Jobs at hand at once in all processes together, running or waiting for a slot
    #[arg(long, value_name = "N", default_value_t = 159, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,

    /// What is protected: stand-in, clickhouse (the server of the config) or clickhouse://HOST:PORT/DATABASE
    #[arg(long, value_name = "BACKEND", default_value = STAND_IN)]
    backend: String,

    /// Queries that the stand-in runs at once; it refuses the next one
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    backend_limit: u32,

    /// How long the backend takes for a query; a ClickHouse takes so much longer, 3s at most
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = times::parse_duration)]
    query_time: Duration,

    /// Jobs dispatched together
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch_size: u32,

    /// Time from one batch to the next; 100ms by default, and none --without-slots
    #[arg(long, value_name = "TIME", value_parser = times::parse_duration)]
    batch_delay: Option<Duration>,

    /// The evening of the 159 queries: the same without the pool, and everything at once
    #[arg(long)]
    without_slots: bool,
}

impl Arguments {
    fn cadence(&self) -> Cadence {
        let usual = if self.without_slots { Duration::ZERO } else { Duration::from_millis(100) };
        Cadence { batch_size: self.batch_size, batch_delay: self.batch_delay.unwrap_or(usual) }
    }

    /// What the pool has, for the workers at this place.
    fn pool_slots(&self, place: &Place) -> u32 {
        if self.without_slots && self.apart(place) { NO_LIMIT } else { self.slots }
    }

    /// Whether the workers are processes of their own.
    fn apart(&self, place: &Place) -> bool {
        self.processes > 1 || matches!(place, Place::Servers { .. })
    }
}

#[async_trait]
impl Command for Demo {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("demo").about("Shows the whole story in a minute, on real usage");
        Arguments::augment_args(command)
            .before_help(examples(&[
                ("{bin} demo", "1,000 organizations, 159 jobs at once, 50 slots, none refused"),
                ("{bin} demo --without-slots", "the same without the pool: the backend refuses, jobs come again later"),
                ("{bin} demo --orgs 5000 --processes 4", "four worker processes that share the slots"),
                ("{bin} --engine distributed demo --processes 4", "the same on the servers that the config names"),
                ("{bin} demo --backend clickhouse://127.0.0.1:8123/default", "the backend is a real server"),
            ]))
            .after_help(
                "On the embedded engine the database is a new file in the temporary folder, and is kept; --db names \
                 another one.\n\nOn the distributed engine queues and slots are in a new namespace, demo-.., and the \
                 PostgreSQL database is that of the config: it must be one that only demos use. Runs have names of \
                 their own. What a demo leaves stays there.\n\nOn ClickHouse it makes a table demo_.. and a view of it, \
                 fills it, counts by the server's own lists, and drops both. A server with a password is named in the \
                 config, as spike_projection.clickhouse.url.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let stage = Stage::set(&arguments, Place::of(session, matches)?, session).await?;
        let summary = stage.play(&arguments, session).await?;
        // As it was called: the program need not be on the PATH.
        let binary = std::env::args().next().unwrap_or_else(|| session.program().about().name.to_owned());
        session.terminal().show(&summary, |look| summary.text(look, &binary))?;
        Ok(summary.exit())
    }
}

/// All that a demo needs, connected.
struct Stage {
    lockgate: Lockgate,
    store: Store,
    settings: SpikeSettings,
    place: Place,
    overrides: Vec<(String, String)>,
    backend: Backend,
    as_of: Timestamp,
}

impl Stage {
    async fn set(arguments: &Arguments, place: Place, session: &Session) -> anyhow::Result<Self> {
        let section: SpikeSettings = session.loaded().section(SECTION)?;
        let options = StandInOptions { limit: arguments.backend_limit, query_time: arguments.query_time };
        let backend = Backend::choose(&arguments.backend, &section, options).await?;
        let slots = arguments.pool_slots(&place);
        let concurrency = arguments.concurrency.div_ceil(arguments.processes);
        let mut overrides = vec![
            place.setting(),
            (format!("pools.{}.slots", section.pool), slots.to_string()),
            (String::from("worker.concurrency"), concurrency.to_string()),
        ];
        overrides.extend(backend.settings()?);
        let set: Vec<_> = overrides.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let lockgate = session.lockgate_with(&set).await?;
        let store = program::store(&lockgate);
        place.check(&lockgate, &store).await?;
        let settings: SpikeSettings = lockgate.section(SECTION)?;
        open_pool(&lockgate, &settings, slots).await?;
        let as_of = lockgate.now().hour();
        Ok(Self { lockgate, store, settings, place, overrides, backend, as_of })
    }

    async fn play(self, arguments: &Arguments, session: &Session) -> anyhow::Result<Summary> {
        let Self { lockgate, store, settings, place, overrides, backend, as_of } = self;
        let terminal = session.terminal();
        backend.prepare(terminal).await?;
        let organizations =
            windows::cut(&bundled::series()?, arguments.orgs, settings.rules().look_back, backend.ids());
        fill::fill((&store, &backend), &organizations, Hour::of(as_of), terminal).await?;
        let serving = backend.serve(store.usage.clone());

        let run = plan(&lockgate, &organizations, (as_of, arguments.cadence()), terminal).await?;
        let started = Instant::now();
        let stop = signals::drain_on_signal(terminal)?;
        let mut workers = if arguments.apart(&place) {
            Workers::start(arguments.processes, &session.loaded().sources, &overrides)?
        } else {
            work_here(&lockgate, arguments, &serving.tasks, &stop).await?
        };
        tokio::select! {
            settled = follow::until_settled(&lockgate, &run, terminal) => drop(settled?),
            () = stop.cancelled() => terminal.note("stopped before the end; this is how far it came"),
            // They end when nothing is left; what they left undone, the summary says.
            () = workers.ended() => {}
        }
        let took = started.elapsed();
        stop.cancel();
        workers.stop(lockgate.settings().worker.grace, terminal).await?;
        let evening = Evening {
            without_slots: arguments.without_slots,
            slots: arguments.slots,
            processes: arguments.processes,
            backend: serving.end(terminal).await,
            took,
            place,
            first: organizations.first().map(|first| first.id.clone()).unwrap_or_default(),
        };
        summary::sum_up(&lockgate, &store, (&run, as_of, &settings.pool), evening).await
    }
}

/// A worker in this process. Without slots its jobs do not ask for any.
async fn work_here(
    lockgate: &Lockgate,
    arguments: &Arguments,
    side: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Workers> {
    let mut app = program::app(lockgate)?;
    if arguments.without_slots {
        app = app.adjust(ProjectSpikes::KIND, |options| options.needs.clear());
    }
    let options = lockgate.worker_options(String::from("demo"));
    let worker = lockgate.worker(app, options).await?;
    Ok(Workers::Here(side.spawn(worker.run(stop.clone()))))
}

/// A database from before may have a pool of another size.
async fn open_pool(lockgate: &Lockgate, settings: &SpikeSettings, slots: u32) -> anyhow::Result<()> {
    let pool = PoolName::new(settings.pool.as_str())?;
    lockgate.ensure_pools([pool.clone()]).await?;
    let change = PoolChange { slots: Some(slots), ..PoolChange::default() };
    lockgate.engine.slots.control(PoolCommand::Set { pool, change, version: None }).await?;
    Ok(())
}

/// Plans a run of its own over the demo's organizations, whatever else the database has.
async fn plan(
    lockgate: &Lockgate,
    organizations: &[Cut],
    (as_of, cadence): (Timestamp, Cadence),
    terminal: &Terminal,
) -> anyhow::Result<RunName> {
    let kind = program::kind()?;
    let mut manifest = fill::DemoManifest::new(organizations, as_of, kind);
    let mut spec = fanout::spec(lockgate, &program::app(lockgate)?, &manifest, as_of)?;
    let after = lockgate.now().since(as_of).as_millis();
    spec.name = RunName::new(format!("demo-{}-{after}", times::hour_name(as_of)))?;
    spec.cadence = cadence;
    let name = spec.name.clone();
    let bar = terminal.progress("planning", organizations.len().try_into().ok());
    fanout::plan(lockgate, spec, &mut manifest, &bar).await?;
    Ok(name)
}
