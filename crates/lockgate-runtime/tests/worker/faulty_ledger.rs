//! A ledger that refuses what a test tells it to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::job::JobRow;
use lockgate_core::ledger::{
    Claimed, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Start, Started,
    Sweep, Swept,
};
use lockgate_core::run::RunSummary;
use lockgate_core::{Engine, EngineError};

/// What is refused, for good.
pub(crate) struct Refused {
    pub(crate) plan: fn(&PlanStep) -> bool,
    pub(crate) start: fn(&Start) -> bool,
    pub(crate) report: fn(&Report) -> bool,
}

impl Default for Refused {
    fn default() -> Self {
        Self { plan: |_| false, start: |_| false, report: |_| false }
    }
}

struct FaultyLedger {
    inner: Arc<dyn Ledger>,
    refused: Refused,
}

impl Refused {
    /// Puts a ledger that refuses between the engine and its own.
    pub(crate) fn by(self, engine: &mut Engine) {
        let inner = Arc::clone(&engine.ledger);
        engine.ledger = Arc::new(FaultyLedger { inner, refused: self });
    }
}

fn refuse(is_refused: bool) -> Result<(), EngineError> {
    if is_refused {
        return Err(EngineError::Failed { doing: String::from("testing"), source: "out of range".into() });
    }
    Ok(())
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError> {
        refuse((self.refused.plan)(&step))?;
        self.inner.plan(step).await
    }

    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError> {
        self.inner.claim(limit, hold).await
    }

    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError> {
        refuse(starts.iter().any(self.refused.start))?;
        self.inner.start(starts).await
    }

    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError> {
        refuse(reports.iter().any(self.refused.report))?;
        self.inner.settle(reports).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError> {
        self.inner.runs(query).await
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError> {
        self.inner.jobs(query).await
    }

    async fn control(&self, command: RunCommand) -> Result<u64, EngineError> {
        self.inner.control(command).await
    }

    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError> {
        self.inner.sweep(sweep, limit).await
    }
}
