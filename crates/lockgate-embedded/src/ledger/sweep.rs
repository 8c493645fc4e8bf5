//! The small sweeps of the ledger, each bounded.
//!
//! It must never take back a job that was started since its message went out.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::time::Timestamp;
use lockgate_core::transition::DEADLINE_PASSED;
use sqlx::{Row, SqliteConnection};

use crate::columns::{sql, to_json};
use crate::database::{Doing, Write};

/// One round.
pub(super) struct SweepJobs {
    pub(super) sweep: Sweep,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for SweepJobs {
    type Output = Swept;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Swept, EngineError> {
        let expired = self.expire(tx).await.doing("skipping jobs of runs past their deadline")?;
        let lost = self.recover_lost(tx).await.doing("taking back jobs whose message was lost")?;
        let pruned = self.prune(tx).await.doing("forgetting old runs")?;
        Ok(Swept { expired, lost, pruned })
    }
}

impl SweepJobs {
    async fn expire(&self, tx: &mut SqliteConnection) -> sqlx::Result<u64> {
        let done = sqlx::query(sql!("ledger/expire_jobs"))
            .bind(self.now.0)
            .bind(self.sweep.limit)
            .bind(DEADLINE_PASSED)
            .execute(tx)
            .await?;
        Ok(done.rows_affected())
    }

    async fn recover_lost(&self, tx: &mut SqliteConnection) -> sqlx::Result<u64> {
        let Some(lost_after) = self.sweep.lost_after else { return Ok(0) };
        let done = sqlx::query(sql!("ledger/recover_lost"))
            .bind(self.now.0)
            .bind(self.now.minus(lost_after).0)
            .bind(self.sweep.limit)
            .execute(tx)
            .await?;
        Ok(done.rows_affected())
    }

    async fn prune(&self, tx: &mut SqliteConnection) -> sqlx::Result<u64> {
        let Some(keep) = self.sweep.keep else { return Ok(0) };
        let before = self.now.minus(keep).0;
        let limit = self.sweep.limit;
        let rows =
            sqlx::query(sql!("ledger/prune_jobs")).bind(before).bind(limit).fetch_all(&mut *tx).await?;
        let runs: Vec<i64> = rows.iter().map(|row| row.try_get("run")).collect::<sqlx::Result<_>>()?;
        if !runs.is_empty() {
            sqlx::query(sql!("ledger/forget_planned")).bind(to_json(&runs)?).execute(&mut *tx).await?;
        }
        sqlx::query(sql!("ledger/prune_runs")).bind(before).bind(limit).execute(tx).await?;
        Ok(u64::try_from(runs.len()).unwrap_or(u64::MAX))
    }
}
