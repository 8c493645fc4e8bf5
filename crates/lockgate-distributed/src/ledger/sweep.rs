//! The small sweeps of the ledger, each bounded, each run of them in a transaction of its own.
//!
//! It must never take back a job that was started since its message went out.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::time::millis;
use lockgate_core::transition::DEADLINE_PASSED;
use sqlx::PgConnection;

use crate::columns::sql;
use crate::database::{Database, Doing, Patience, Work};

/// Changes of counts that a reader may find before it folds them itself: a few milliseconds of reading.
pub(super) const MANY: i64 = 2_000;
/// Changes that are folded at once.
const FOLD: i64 = 20_000;
/// The number of the lock under which counts are folded.
const FOLDING: i64 = 0x666f_6c64;
/// Runs that one round looks at.
const RUNS: i64 = 100;

/// One round.
pub(super) async fn sweep(database: &Database, sweep: Sweep) -> Result<Swept, EngineError> {
    let limit = i64::from(sweep.limit);
    let expired = database.transact("skipping jobs of runs past their deadline", &Expire { limit }).await?;
    let mut swept = Swept { expired, ..Swept::default() };
    if let Some(after) = sweep.lost_after {
        let lost = RecoverLost { after, limit };
        swept.lost = database.transact("taking back jobs whose message was lost", &lost).await?;
    }
    if let Some(keep) = sweep.keep {
        swept.pruned = database.transact("forgetting old runs", &Prune { keep, limit }).await?;
    }
    database.call("folding counts", &Fold).await?;
    Ok(swept)
}

/// Skips what is left of runs past their deadline.
struct Expire {
    limit: i64,
}

#[async_trait]
impl Work for Expire {
    type Output = u64;

    fn patience(&self) -> Patience {
        Patience::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<u64, EngineError> {
        self.expire(tx).await.doing("skipping jobs of runs past their deadline").map(whole)
    }
}

impl Expire {
    async fn expire(&self, tx: &mut PgConnection) -> sqlx::Result<i64> {
        let runs: Vec<i32> =
            sqlx::query_scalar(sql!("ledger/expired_runs")).bind(RUNS).fetch_all(&mut *tx).await?;
        let mut expired = 0;
        for run in runs {
            if expired >= self.limit {
                break;
            }
            expired += sqlx::query_scalar::<_, i64>(sql!("ledger/expire_jobs"))
                .bind(run)
                .bind(self.limit - expired)
                .bind(DEADLINE_PASSED)
                .fetch_one(&mut *tx)
                .await?;
        }
        Ok(expired)
    }
}

/// Takes back jobs whose message was lost.
struct RecoverLost {
    after: Duration,
    limit: i64,
}

#[async_trait]
impl Work for RecoverLost {
    type Output = u64;

    fn patience(&self) -> Patience {
        Patience::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<u64, EngineError> {
        let lost = sqlx::query_scalar(sql!("ledger/recover_lost"))
            .bind(millis(self.after))
            .bind(self.limit)
            .fetch_one(tx)
            .await;
        lost.doing("taking back jobs whose message was lost").map(whole)
    }
}

/// Forgets old runs.
struct Prune {
    keep: Duration,
    limit: i64,
}

#[async_trait]
impl Work for Prune {
    type Output = u64;

    fn patience(&self) -> Patience {
        Patience::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<u64, EngineError> {
        self.prune(tx).await.doing("forgetting old runs").map(whole)
    }
}

impl Prune {
    async fn prune(&self, tx: &mut PgConnection) -> sqlx::Result<i64> {
        let runs: Vec<i32> = sqlx::query_scalar(sql!("ledger/finished_runs"))
            .bind(millis(self.keep))
            .bind(RUNS.min(self.limit))
            .fetch_all(&mut *tx)
            .await?;
        let mut pruned = 0;
        for run in runs {
            if pruned >= self.limit {
                break;
            }
            // Locked first, so that the statement after it sees what an operator has just run again.
            sqlx::query(sql!("ledger/lock_number")).bind(run).execute(&mut *tx).await?;
            pruned += sqlx::query_scalar::<_, i64>(sql!("ledger/prune_jobs"))
                .bind(run)
                .bind(self.limit - pruned)
                .fetch_one(&mut *tx)
                .await?;
            sqlx::query(sql!("ledger/prune_run")).bind(run).bind(FOLDING).execute(&mut *tx).await?;
        }
        Ok(pruned)
    }
}

/// Folds the changes of counts.
pub(super) struct Fold;

#[async_trait]
impl Work for Fold {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        let folded =
            sqlx::query(sql!("ledger/fold_counts")).bind(FOLD).bind(FOLDING).execute(connection).await;
        folded.doing("folding counts").map(drop)
    }
}

fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
