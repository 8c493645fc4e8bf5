//! `demo`: the whole story in one command, on real usage. It creates a database, cuts the bundled series into
//! organizations, plans a run over them, executes it against a fake backend, and prints a summary.
//!
//! It uses the same tables, runs, workers and sources as every other command, without shortcuts.

mod backend;
mod clickhouse;
mod fill;
mod ids;
mod location;
mod summary;
mod windows;
mod workers;

use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::core::cadence::Cadence;
use lockgate::core::pool::{PoolChange, PoolCommand};
use lockgate::{Job, Lockgate, PoolName, RunName, Timestamp};
use lockgate_cli::{Command, CommandContext, Exit, Terminal, examples, fanout, follow, signals, times};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bundled;
use crate::config::{SECTION, SpikeSettings};
use crate::fake_backend::FakeBackendOptions;
use crate::hour::Hour;
use crate::job::ProjectSpikes;
use crate::program;
use crate::store::Store;
use backend::{Backend, FAKE};
use location::Location;
use summary::{Outcome, Summary};
use windows::DemoOrganization;
use workers::Workers;

/// Slots of a pool that delays no job. Separate worker processes acquire slots even without a limit, so the
/// pool is made this large.
const UNLIMITED_SLOTS: u32 = 1_000_000;

/// The command `demo`.
pub struct Demo;

#[derive(Debug, Args)]
struct DemoArgs {
    /// Number of organizations
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orgs: u32,

    /// Slots of the pool
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    slots: u32,

    /// Number of worker processes. With 1 on the embedded engine, the worker runs inside this process
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,

    /// Jobs in flight at once in all processes together, running or waiting for a slot
    #[arg(long, value_name = "N", default_value_t = 159, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,

    /// The protected backend: fake, clickhouse (the server in the config) or clickhouse://HOST:PORT/DATABASE
    #[arg(long, value_name = "BACKEND", default_value = FAKE)]
    backend: String,

    /// Queries that the fake backend runs at once; it rejects the next one
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    backend_limit: u32,

    /// Duration of a backend query; on ClickHouse, the time added to each query, at most 3s
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = times::parse_duration)]
    query_time: Duration,

    /// Jobs dispatched together
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch_size: u32,

    /// Time between two batches [default: 100ms, or 0s with --without-slots]
    #[arg(long, value_name = "TIME", value_parser = times::parse_duration)]
    batch_delay: Option<Duration>,

    /// Run without the pool, with all batches due at once, as on the evening of the 159 queries
    #[arg(long)]
    without_slots: bool,
}

impl DemoArgs {
    fn cadence(&self) -> Cadence {
        let usual = if self.without_slots { Duration::ZERO } else { Duration::from_millis(100) };
        Cadence { batch_size: self.batch_size, batch_delay: self.batch_delay.unwrap_or(usual) }
    }

    /// Returns the slots of the pool.
    fn pool_slots(&self, location: &Location) -> u32 {
        if self.without_slots && self.uses_processes(location) { UNLIMITED_SLOTS } else { self.slots }
    }

    /// Returns whether the workers run in processes of their own.
    fn uses_processes(&self, location: &Location) -> bool {
        self.processes > 1 || matches!(location, Location::Servers { .. })
    }
}

#[async_trait]
impl Command for Demo {
    fn spec(&self) -> clap::Command {
        let command = clap::Command::new("demo").about("Show the whole story in a minute, on real usage");
        DemoArgs::augment_args(command)
            .before_help(examples(&[
                ("{bin} demo", "1,000 organizations, 159 jobs at once, 50 slots, no rejected query"),
                ("{bin} demo --without-slots", "the same without the pool: the backend rejects queries, jobs are deferred"),
                ("{bin} demo --orgs 5000 --processes 4", "four worker processes share the slots"),
                ("{bin} --engine distributed demo --processes 4", "the same on the servers in the config"),
                ("{bin} demo --backend clickhouse://127.0.0.1:8123/default", "against a real ClickHouse server"),
            ]))
            .after_help(
                "On the embedded engine the demo creates a database in the temporary folder and keeps it; --db selects \
                another file.\n\nOn the distributed engine, queues and slots use a new namespace, demo-.., and the \
                PostgreSQL database is the one in the config: only demos may use it. Every run has a new name. The demo \
                does not delete its data.\n\nOn ClickHouse the demo creates and fills a table demo_.. and a view of it, \
                counts queries with the server's own system tables, and drops both at the end. Put the address of a \
                server with a password into the config, as spike_projection.clickhouse.url.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &CommandContext) -> anyhow::Result<Exit> {
        let arguments = DemoArgs::from_arg_matches(matches)?;
        let setup = Setup::connect(&arguments, Location::of(session, matches)?, session).await?;
        let summary = setup.run(&arguments, session).await?;
        // As the user called it: the program may not be on the PATH.
        let binary = std::env::args().next().unwrap_or_else(|| session.program().about().name.to_owned());
        session.terminal().show(&summary, |look| summary.text(look, &binary))?;
        Ok(summary.exit())
    }
}

/// The connected parts of a demo.
struct Setup {
    lockgate: Lockgate,
    store: Store,
    settings: SpikeSettings,
    location: Location,
    overrides: Vec<(String, String)>,
    backend: Backend,
    as_of: Timestamp,
}

impl Setup {
    async fn connect(
        arguments: &DemoArgs,
        location: Location,
        session: &CommandContext,
    ) -> anyhow::Result<Self> {
        let section: SpikeSettings = session.loaded().section(SECTION)?;
        let options = FakeBackendOptions { limit: arguments.backend_limit, query_time: arguments.query_time };
        let backend = Backend::choose(&arguments.backend, &section, options).await?;
        let slots = arguments.pool_slots(&location);
        let concurrency = arguments.concurrency.div_ceil(arguments.processes);
        let mut overrides = vec![
            location.setting(),
            (format!("pools.{}.slots", section.pool), slots.to_string()),
            (String::from("worker.concurrency"), concurrency.to_string()),
        ];
        overrides.extend(backend.settings()?);
        let set: Vec<_> = overrides.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let lockgate = session.lockgate_with(&set).await?;
        let store = program::store(&lockgate);
        location.check(&lockgate, &store).await?;
        let settings: SpikeSettings = lockgate.section(SECTION)?;
        open_pool(&lockgate, &settings, slots).await?;
        let as_of = lockgate.now().hour();
        Ok(Self { lockgate, store, settings, location, overrides, backend, as_of })
    }

    async fn run(self, arguments: &DemoArgs, session: &CommandContext) -> anyhow::Result<Summary> {
        let Self { lockgate, store, settings, location, overrides, backend, as_of } = self;
        let terminal = session.terminal();
        backend.prepare(terminal).await?;
        let organizations =
            windows::cut(&bundled::series()?, arguments.orgs, settings.rules().look_back, backend.ids());
        fill::fill((&store, &backend), &organizations, Hour::of(as_of), terminal).await?;
        let serving = backend.serve(store.usage.clone());

        let run = plan(&lockgate, &organizations, (as_of, arguments.cadence()), terminal).await?;
        let started = Instant::now();
        let stop = signals::drain_on_signal(terminal)?;
        let mut workers = if arguments.uses_processes(&location) {
            Workers::start(arguments.processes, &session.loaded().sources, &overrides)?
        } else {
            start_in_process(&lockgate, arguments, &serving.tasks, &stop).await?
        };
        tokio::select! {
            settled = follow::until_settled(&lockgate, &run, terminal) => drop(settled?),
            () = stop.cancelled() => terminal.note("stopped early; the summary shows the state at this point"),
            // The processes end when no job is left. The summary reports unfinished jobs.
            () = workers.ended() => {}
        }
        let took = started.elapsed();
        stop.cancel();
        workers.stop(lockgate.settings().worker.grace, terminal).await?;
        let outcome = Outcome {
            without_slots: arguments.without_slots,
            slots: arguments.slots,
            processes: arguments.processes,
            backend: serving.end(terminal).await,
            took,
            location,
            first: organizations.first().map(|first| first.id.clone()).unwrap_or_default(),
        };
        summary::sum_up(&lockgate, &store, (&run, as_of, &settings.pool), outcome).await
    }
}

/// Starts a worker in this process. With `--without-slots` its jobs need no slots.
async fn start_in_process(
    lockgate: &Lockgate,
    arguments: &DemoArgs,
    tracker: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Workers> {
    let mut app = program::app(lockgate)?;
    if arguments.without_slots {
        app = app.adjust(ProjectSpikes::KIND, |options| options.needs.clear());
    }
    let options = lockgate.worker_options(String::from("demo"));
    let worker = lockgate.worker(app, options).await?;
    Ok(Workers::InProcess(tracker.spawn(worker.run(stop.clone()))))
}

/// Sets the slots of the pool. A database of an earlier demo may have a pool of another size.
async fn open_pool(lockgate: &Lockgate, settings: &SpikeSettings, slots: u32) -> anyhow::Result<()> {
    let pool = PoolName::new(settings.pool.as_str())?;
    lockgate.ensure_pools([pool.clone()]).await?;
    let change = PoolChange { slots: Some(slots), ..PoolChange::default() };
    lockgate.engine.slots.control(PoolCommand::Set { pool, change, version: None }).await?;
    Ok(())
}

/// Plans a run over the organizations of this demo alone, even if the database has others.
async fn plan(
    lockgate: &Lockgate,
    organizations: &[DemoOrganization],
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
