//! The job that is measured: it does nothing, or sleeps. More work would be measured as a cost of the engine.

use std::time::Duration;

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::core::name::NameError;
use lockgate::core::pool::{PoolChange, PoolCommand, PoolSpec};
use lockgate::runtime::memory;
use lockgate::{App, Context, Failure, Job, JobOptions, Kind, Lockgate, PoolName};
use lockgate_cli::{Manifest, fanout};
use serde::{Deserialize, Serialize};

use crate::arguments::DAY;

/// The name of the kind, the queue and the pool.
pub(crate) const NAME: &str = "lockgate-bench";

#[derive(Serialize, Deserialize)]
struct BenchJob {}

/// How long each job sleeps.
struct SleepTime(Duration);

#[async_trait]
impl Job for BenchJob {
    const KIND: &'static str = NAME;

    fn options() -> JobOptions {
        JobOptions::queue(NAME).pool(NAME, 1).deadline(DAY)
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let SleepTime(duration) = ctx.state::<SleepTime>()?;
        if !duration.is_zero() {
            tokio::time::sleep(*duration).await;
        }
        Ok(())
    }
}

/// Creates an app of this job alone.
pub(crate) fn app(sleep: Duration, with_slots: bool) -> anyhow::Result<App> {
    let app = App::new().job::<BenchJob>()?.state(SleepTime(sleep));
    Ok(if with_slots { app } else { app.adjust(NAME, |options| options.needs.clear()) })
}

/// Returns the name of the pool.
pub(crate) fn pool_name() -> Result<PoolName, NameError> {
    PoolName::new(NAME)
}

/// Creates the pool, or changes its slots when it exists.
pub(crate) async fn set_up_pool(lockgate: &Lockgate, slots: u32) -> anyhow::Result<()> {
    let name = pool_name()?;
    let spec = PoolSpec { name: name.clone(), slots, per_tenant: None };
    let change = PoolChange { slots: Some(slots), ..PoolChange::default() };
    for command in [PoolCommand::Ensure(spec), PoolCommand::Set { pool: name, change, version: None }] {
        lockgate.engine.slots.control(command).await?;
    }
    Ok(())
}

/// Replaces the slot store by one in the memory of this process, and creates the pool there.
pub(crate) async fn use_private_pool(lockgate: &mut Lockgate, slots: u32) -> anyhow::Result<()> {
    lockgate.engine.slots = memory::engine(lockgate.settings().slots.timing()).slots;
    set_up_pool(lockgate, slots).await
}

/// The manifest of a number of these jobs.
pub(crate) struct BenchJobs {
    kind: Kind,
    remaining: std::ops::Range<u32>,
}

impl BenchJobs {
    pub(crate) fn new(jobs: u32) -> Result<Self, NameError> {
        Ok(Self { kind: Kind::new(NAME)?, remaining: 0..jobs })
    }
}

#[async_trait]
impl Manifest for BenchJobs {
    fn kind(&self) -> Kind {
        self.kind.clone()
    }

    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>> {
        self.remaining.by_ref().take(most).map(|n| fanout::job(&n.to_string(), &BenchJob {})).collect()
    }
}
