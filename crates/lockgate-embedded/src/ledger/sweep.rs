//! Maintenance of the ledger in bounded steps, each in one transaction.
//!
//! A job that started after its message was published is never recovered as lost.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::name::QueueName;
use lockgate_core::time::Timestamp;
use lockgate_core::transition::DEADLINE_PASSED;
use sqlx::{Row, SqliteConnection};

use super::clock::Reading;
use crate::columns::{sql, to_json};
use crate::database::{Doing, Write};

/// One step of a sweep.
pub(super) struct SweepJobs {
    pub(super) sweep: Sweep,
    pub(super) max_jobs: u32,
    /// Ledger time.
    pub(super) now: Timestamp,
    pub(super) reading: Reading,
}

#[async_trait]
impl Write for SweepJobs {
    type Output = Swept;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Swept, EngineError> {
        self.reading.save(tx, self.now).await.doing("storing the ledger's clock")?;
        let jobs = match &self.sweep {
            Sweep::Overdue => {
                self.skip_overdue(tx).await.doing("skipping jobs past the deadline of their run")
            }
            Sweep::Lost { queue, silent_for } => {
                let before = self.now.minus(*silent_for);
                self.recover_lost(tx, queue, before).await.doing("recovering jobs whose message was lost")
            }
            Sweep::Finished { keep } => {
                self.prune(tx, self.now.minus(*keep)).await.doing("deleting old runs")
            }
        }?;
        Ok(Swept { jobs, more: jobs >= u64::from(self.max_jobs) })
    }
}

impl SweepJobs {
    async fn skip_overdue(&self, tx: &mut SqliteConnection) -> sqlx::Result<u64> {
        let done = sqlx::query(sql!("ledger/expire_jobs"))
            .bind(self.now.0)
            .bind(self.max_jobs)
            .bind(DEADLINE_PASSED)
            .execute(tx)
            .await?;
        Ok(done.rows_affected())
    }

    async fn recover_lost(
        &self,
        tx: &mut SqliteConnection,
        queue: &QueueName,
        before: Timestamp,
    ) -> sqlx::Result<u64> {
        let done = sqlx::query(sql!("ledger/recover_lost"))
            .bind(self.now.0)
            .bind(before.0)
            .bind(self.max_jobs)
            .bind(queue.as_str())
            .execute(tx)
            .await?;
        Ok(done.rows_affected())
    }

    async fn prune(&self, tx: &mut SqliteConnection, before: Timestamp) -> sqlx::Result<u64> {
        let (before, max_jobs) = (before.0, self.max_jobs);
        let rows =
            sqlx::query(sql!("ledger/prune_jobs")).bind(before).bind(max_jobs).fetch_all(&mut *tx).await?;
        let runs: Vec<i64> = rows.iter().map(|row| row.try_get("run")).collect::<sqlx::Result<_>>()?;
        if !runs.is_empty() {
            sqlx::query(sql!("ledger/subtract_planned")).bind(to_json(&runs)?).execute(&mut *tx).await?;
        }
        sqlx::query(sql!("ledger/prune_runs")).bind(before).bind(max_jobs).execute(tx).await?;
        Ok(u64::try_from(runs.len()).unwrap_or(u64::MAX))
    }
}
