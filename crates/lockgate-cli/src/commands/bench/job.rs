//! The job that is measured: it does nothing, or sleeps.
//!
//! It must never do more: what it cost would be taken for the engine's.

use std::time::Duration;

use async_trait::async_trait;
use lockgate::core::ledger::PlannedJob;
use lockgate::core::name::NameError;
use lockgate::core::pool::{PoolChange, PoolCommand, PoolSpec};
use lockgate::runtime::memory;
use lockgate::{App, Context, Failure, Job, JobOptions, Kind, Lockgate, PoolName};
use serde::{Deserialize, Serialize};

use crate::fanout;
use crate::program::Manifest;

/// Its kind, its queue and its pool.
pub(super) const NAME: &str = "lockgate-bench";

#[derive(Serialize, Deserialize)]
struct Nothing {}

/// How long each sleeps.
struct Nap(Duration);

#[async_trait]
impl Job for Nothing {
    const KIND: &'static str = NAME;

    fn options() -> JobOptions {
        JobOptions::queue(NAME).pool(NAME, 1).deadline(crate::times::DAY)
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let Nap(nap) = ctx.state::<Nap>()?;
        if !nap.is_zero() {
            tokio::time::sleep(*nap).await;
        }
        Ok(())
    }
}

/// An app of this job alone.
pub(super) fn app(sleep: Duration, with_slots: bool) -> anyhow::Result<App> {
    let app = App::new().job::<Nothing>()?.state(Nap(sleep));
    Ok(if with_slots { app } else { app.adjust(NAME, |options| options.needs.clear()) })
}

/// The pool's name.
pub(super) fn pool_name() -> Result<PoolName, NameError> {
    PoolName::new(NAME)
}

/// Makes the pool, with so many slots whatever it had before.
pub(super) async fn pool(lockgate: &Lockgate, slots: u32) -> anyhow::Result<()> {
    let name = pool_name()?;
    let spec = PoolSpec { name: name.clone(), slots, per_tenant: None };
    let change = PoolChange { slots: Some(slots), ..PoolChange::default() };
    for command in [PoolCommand::Ensure(spec), PoolCommand::Set { pool: name, change, version: None }] {
        lockgate.engine.slots.control(command).await?;
    }
    Ok(())
}

/// Makes the pool in a slot store of this process alone, in its memory.
pub(super) async fn own_pool(lockgate: &mut Lockgate, slots: u32) -> anyhow::Result<()> {
    lockgate.engine.slots = memory::engine(lockgate.settings().slots.timing()).slots;
    pool(lockgate, slots).await
}

/// So many of these jobs.
pub(super) struct Many {
    kind: Kind,
    left: std::ops::Range<u32>,
}

impl Many {
    pub(super) fn of(jobs: u32) -> Result<Self, NameError> {
        Ok(Self { kind: Kind::new(NAME)?, left: 0..jobs })
    }
}

#[async_trait]
impl Manifest for Many {
    fn kind(&self) -> Kind {
        self.kind.clone()
    }

    async fn next(&mut self, most: usize) -> anyhow::Result<Vec<PlannedJob>> {
        self.left.by_ref().take(most).map(|n| fanout::job(&n.to_string(), &Nothing {})).collect()
    }
}
