//! Starts and settles jobs. All starts or reports of one call share a transaction.
//!
//! A start that writes nothing does not take the write lock.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::id::JobId;
use lockgate_core::ledger::{Report, Settled, Settlement, Start, Started};
use lockgate_core::time::Timestamp;
use sqlx::SqliteConnection;

use super::loaded::LoadedJobs;
use crate::database::{Doing, Write};

/// Starts jobs without a write. Returns `None` when at least one start has to be stored.
pub(super) async fn start_read_only(
    reader: &mut SqliteConnection,
    starts: &[Start],
    now: Timestamp,
) -> sqlx::Result<Option<Vec<Started>>> {
    let mut jobs = LoadedJobs::load(reader, starts.iter().map(|start| start.job).collect(), now).await?;
    let started = jobs.start(starts, now);
    Ok((!jobs.have_changed()).then_some(started))
}

/// Starts jobs and stores the starts.
pub(super) struct StartJobs {
    pub(super) starts: Vec<Start>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for StartJobs {
    type Output = Vec<Started>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Started>, EngineError> {
        let ids = self.starts.iter().map(|start| start.job).collect();
        let mut jobs = LoadedJobs::load(tx, ids, self.now).await.doing("starting jobs")?;
        let started = jobs.start(&self.starts, self.now);
        jobs.store(tx, self.now).await.doing("starting jobs")?;
        Ok(started)
    }
}

/// Stores reports: published messages and settlements.
pub(super) struct SettleJobs {
    pub(super) reports: Vec<Report>,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for SettleJobs {
    type Output = Vec<Settled>;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Settled>, EngineError> {
        let ids = self.reports.iter().map(job_of).collect();
        let mut jobs = LoadedJobs::load(tx, ids, self.now).await.doing("settling jobs")?;
        let settled = self
            .reports
            .iter()
            .map(|report| {
                jobs.find(job_of(report)).map_or(Settled::Stale, |job| job.report(report, self.now))
            })
            .collect();
        jobs.store(tx, self.now).await.doing("settling jobs")?;
        Ok(settled)
    }
}

fn job_of(report: &Report) -> JobId {
    match report {
        Report::Published { job, .. } | Report::Settled(Settlement { job, .. }) => *job,
    }
}
