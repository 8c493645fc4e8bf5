//! Cleanup of the ledger in bounded portions, each in one transaction.
//!
//! A job that started after its message was published is never recovered.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Sweep, Swept};
use lockgate_core::name::QueueName;
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::DEADLINE_PASSED;
use sqlx::{PgConnection, Row};

use crate::columns::sql;
use crate::database::{Database, Doing, TimeLimit, Work};

/// A reader that finds more unfolded changes of a run folds them itself. Reading this many takes a few
/// milliseconds.
pub(super) const FOLD_THRESHOLD: i64 = 2_000;
/// Changes that are folded in one statement.
const FOLD_ROWS: i64 = 20_000;
/// Number of the advisory lock of folding.
const FOLD_LOCK: i64 = 0x666f_6c64;
/// Runs that one call reads.
const RUNS_PER_CALL: i64 = 100;

const SKIPPING: &str = "skipping jobs of runs past their deadline";
const RECOVERING: &str = "recovering jobs whose message was lost";
const DELETING: &str = "deleting old runs";

/// Runs one portion of a sweep.
pub(super) async fn sweep(
    database: &Database,
    sweep: Sweep,
    limit: u32,
    now: Timestamp,
) -> Result<Swept, EngineError> {
    let limit = i64::from(limit);
    let swept = match sweep {
        Sweep::Overdue => database.transact(SKIPPING, &Expire { limit, now }).await?,
        Sweep::Lost { queue, silent_for } => {
            database.transact(RECOVERING, &RecoverLost { queue, silent_for, limit, now }).await?
        }
        Sweep::Finished { keep } => database.transact(DELETING, &Prune { keep, limit, now }).await?,
    };
    database.call("folding counts", &Fold).await?;
    Ok(swept)
}

/// Skips the remaining jobs of runs past their deadline.
struct Expire {
    limit: i64,
    now: Timestamp,
}

#[async_trait]
impl Work for Expire {
    type Output = Swept;

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Swept, EngineError> {
        self.expire(tx).await.doing(SKIPPING)
    }
}

impl Expire {
    async fn expire(&self, tx: &mut PgConnection) -> sqlx::Result<Swept> {
        let runs: Vec<i32> = sqlx::query_scalar(sql!("ledger/expired_runs"))
            .bind(RUNS_PER_CALL)
            .bind(self.now.0)
            .fetch_all(&mut *tx)
            .await?;
        let many = is_full_page(runs.len());
        let mut expired = 0;
        for run in runs {
            if expired >= self.limit {
                break;
            }
            expired += sqlx::query_scalar::<_, i64>(sql!("ledger/expire_jobs"))
                .bind(run)
                .bind(self.limit - expired)
                .bind(DEADLINE_PASSED)
                .bind(self.now.0)
                .fetch_one(&mut *tx)
                .await?;
        }
        Ok(Swept { jobs: as_count(expired), more: many || expired >= self.limit })
    }
}

/// Recovers jobs of one queue whose message was lost.
struct RecoverLost {
    queue: QueueName,
    silent_for: Duration,
    limit: i64,
    now: Timestamp,
}

#[async_trait]
impl Work for RecoverLost {
    type Output = Swept;

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Swept, EngineError> {
        self.recover(tx).await.doing(RECOVERING)
    }
}

impl RecoverLost {
    async fn recover(&self, tx: &mut PgConnection) -> sqlx::Result<Swept> {
        let row = sqlx::query(sql!("ledger/recover_lost"))
            .bind(millis(self.silent_for))
            .bind(self.limit)
            .bind(self.queue.as_str())
            .bind(self.now.0)
            .fetch_one(tx)
            .await?;
        Ok(Swept { jobs: as_count(row.try_get("jobs")?), more: row.try_get("more")? })
    }
}

/// Deletes old runs.
struct Prune {
    keep: Duration,
    limit: i64,
    now: Timestamp,
}

#[async_trait]
impl Work for Prune {
    type Output = Swept;

    fn time_limit(&self) -> TimeLimit {
        TimeLimit::Long
    }

    async fn run(&self, tx: &mut PgConnection) -> Result<Swept, EngineError> {
        self.prune(tx).await.doing(DELETING)
    }
}

impl Prune {
    async fn prune(&self, tx: &mut PgConnection) -> sqlx::Result<Swept> {
        let runs: Vec<i32> = sqlx::query_scalar(sql!("ledger/finished_runs"))
            .bind(millis(self.keep))
            .bind(RUNS_PER_CALL.min(self.limit))
            .bind(self.now.0)
            .fetch_all(&mut *tx)
            .await?;
        let many = is_full_page(runs.len());
        let mut pruned = 0;
        for run in runs {
            if pruned >= self.limit {
                break;
            }
            // Locked first, so that the next statement sees jobs that an operator has just retried.
            sqlx::query(sql!("ledger/lock_run_by_number")).bind(run).execute(&mut *tx).await?;
            pruned += sqlx::query_scalar::<_, i64>(sql!("ledger/prune_jobs"))
                .bind(run)
                .bind(self.limit - pruned)
                .fetch_one(&mut *tx)
                .await?;
            sqlx::query(sql!("ledger/prune_run")).bind(run).bind(FOLD_LOCK).execute(&mut *tx).await?;
        }
        Ok(Swept { jobs: as_count(pruned), more: many || pruned >= self.limit })
    }
}

/// Folds changes into the counts.
pub(super) struct Fold;

#[async_trait]
impl Work for Fold {
    type Output = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), EngineError> {
        let folded =
            sqlx::query(sql!("ledger/fold_counts")).bind(FOLD_ROWS).bind(FOLD_LOCK).execute(connection).await;
        folded.doing("folding counts").map(drop)
    }
}

/// Returns whether the page of runs is full, so that there may be more.
fn is_full_page(runs: usize) -> bool {
    i64::try_from(runs).is_ok_and(|runs| runs >= RUNS_PER_CALL)
}

fn as_count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
