//! The transaction of one call to the slots: advances the clock, ends what has expired, then runs the
//! operation.
//!
//! An operation therefore never sees an expired session, lease or pause. Fences and stop orders share one
//! counter that only grows, so no number is issued twice.

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::history::{HistoryPoint, HoldEnd};
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{Fence, LeaseId, SessionId, Tenant};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::wait_queues::WaitQueues;
use crate::columns::{integer, parsed, sql, text, to_json};
use crate::database::{Doing, Write};
use crate::store_clock::Reading;

/// The most expired sessions, and the most drained leases, that one call ends. The next call continues.
const SWEEP_LIMIT: u32 = 100;

/// The session that makes a call, and the name of its process.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) process: String,
}

/// One operation on the slots.
#[async_trait]
pub(super) trait Operation: Send + Sync + 'static {
    type Output: Send + 'static;

    /// Returns the session that the call renews, even after its deadline: a slow holder that is alive keeps
    /// its slots. Default: none.
    fn renews(&self) -> Option<&Caller> {
        None
    }

    /// Returns whether the commit must survive a loss of power. Default: false, because holders and waiters
    /// die with the host.
    fn is_durable(&self) -> bool {
        false
    }

    /// See [`Write::is_best_effort`]. Default: false.
    fn is_best_effort(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<Self::Output, EngineError>;
}

/// An operation with the clock reading of its caller, as the writer runs it.
pub(super) struct Call<O> {
    pub(super) doing: &'static str,
    pub(super) reading: Reading,
    pub(super) operation: O,
}

#[async_trait]
impl<O: Operation> Write for Call<O> {
    type Output = O::Output;

    fn is_durable(&self) -> bool {
        self.operation.is_durable()
    }

    fn is_best_effort(&self) -> bool {
        self.operation.is_best_effort()
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<O::Output, EngineError> {
        let mut tx = SlotTransaction::open(connection, &self.reading).await.doing(self.doing)?;
        if let Some(caller) = self.operation.renews() {
            tx.renew(caller).await.doing(self.doing)?;
        }
        tx.sweep().await.doing(self.doing)?;
        let output = self.operation.run(&mut tx).await?;
        tx.save().await.doing(self.doing)?;
        Ok(output)
    }
}

/// The write transaction of one call, with the store's own row.
pub(super) struct SlotTransaction<'t> {
    pub(super) connection: &'t mut SqliteConnection,
    /// Virtual time in milliseconds.
    pub(super) now: i64,
    pub(super) timing: SlotTiming,
    /// End of the recovery grace period in virtual milliseconds, during which nothing is granted; `None`: not
    /// recovering.
    pub(super) recovering_until: Option<i64>,
    /// The last fence or stop order that was issued.
    number: u64,
    wall_micros: u64,
    /// Whether the store's own row has to be written.
    changed: bool,
}

impl<'t> SlotTransaction<'t> {
    async fn open(connection: &'t mut SqliteConnection, reading: &Reading) -> sqlx::Result<Self> {
        let now = reading.tick(connection).await?;
        let timing = *reading.timing();
        let wall_micros = reading.wall_micros();
        let store = sqlx::query(sql!("slots/read_store")).fetch_optional(&mut *connection).await?;
        let is_lost = store.is_none();
        let (number, recovering_until) = match store {
            Some(row) => (row.try_get("number")?, row.try_get::<Option<i64>, _>("learning_until")?),
            None => {
                let until = now.saturating_add(millis(timing.ttl));
                sqlx::query(sql!("slots/begin_recovery"))
                    .bind(integer(wall_micros))
                    .bind(until)
                    .execute(&mut *connection)
                    .await?;
                (wall_micros, Some(until))
            }
        };
        let mut tx = Self { connection, now, timing, recovering_until, number, wall_micros, changed: false };
        if is_lost {
            tx.restart_history().await?;
        }
        if recovering_until.is_some_and(|until| until <= now) {
            tx.recovering_until = None;
            tx.changed = true;
            tx.grant().await?;
        }
        Ok(tx)
    }

    /// Begins a recovery grace period of `millis`, during which nothing is granted. A longer one that runs is
    /// kept.
    pub(super) fn begin_grace(&mut self, millis: i64) {
        let until = self.now.saturating_add(millis);
        self.recovering_until = Some(self.recovering_until.map_or(until, |running| running.max(until)));
        self.changed = true;
    }

    /// Returns the next fence or stop order. It is at least the wall-clock time in microseconds, so that it
    /// grows even after a loss of state.
    pub(super) fn next_number(&mut self) -> Fence {
        self.number = self.number.saturating_add(1).max(self.wall_micros);
        self.changed = true;
        Fence(self.number)
    }

    /// Raises the counter to a fence that was issued before the state was lost.
    pub(super) fn observe_fence(&mut self, fence: Fence) {
        self.number = self.number.max(fence.0);
        self.changed = true;
    }

    /// Returns the current position in the history: the last number and the wall-clock time.
    pub(super) fn moment(&self) -> HistoryPoint {
        HistoryPoint { number: self.number, at_ms: integer(self.wall_micros / 1_000) }
    }

    /// Returns the time from now until `later` (virtual ms), zero if it has passed.
    pub(super) fn until(&self, later: i64) -> Duration {
        Duration::from_millis(u64::try_from(later.saturating_sub(self.now)).unwrap_or(0))
    }

    /// Returns the time from `earlier` (virtual ms) until now.
    pub(super) fn since(&self, earlier: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.now.saturating_sub(earlier)).unwrap_or(0))
    }

    /// Grants free slots until no eligible request waits for them.
    pub(super) async fn grant(&mut self) -> sqlx::Result<()> {
        let mut queues = WaitQueues::load(self, Default::default(), Default::default()).await?;
        queues.grant_waiting(self).await
    }

    /// Creates the session of the caller if it does not exist.
    pub(super) async fn ensure_session(&mut self, caller: &Caller) -> sqlx::Result<()> {
        sqlx::query(sql!("slots/open_session"))
            .bind(caller.session.to_string())
            .bind(&caller.process)
            .bind(self.deadline())
            .execute(&mut *self.connection)
            .await
            .map(drop)
    }

    async fn renew(&mut self, caller: &Caller) -> sqlx::Result<()> {
        let renewed = sqlx::query(sql!("slots/renew_session"))
            .bind(caller.session.to_string())
            .bind(self.deadline())
            .execute(&mut *self.connection)
            .await?;
        if renewed.rows_affected() == 0 { self.ensure_session(caller).await } else { Ok(()) }
    }

    fn deadline(&self) -> i64 {
        self.now.saturating_add(millis(self.timing.ttl))
    }

    /// Ends dead sessions and expired pauses, frees drained leases and grants the freed slots.
    async fn sweep(&mut self) -> sqlx::Result<()> {
        let due: bool =
            sqlx::query_scalar(sql!("slots/is_due")).bind(self.now).fetch_one(&mut *self.connection).await?;
        if !due {
            return Ok(());
        }
        let dead: Vec<String> = sqlx::query_scalar(sql!("slots/dead_sessions"))
            .bind(self.now)
            .bind(SWEEP_LIMIT)
            .fetch_all(&mut *self.connection)
            .await?;
        if !dead.is_empty() {
            self.end_sessions(&dead, HoldEnd::Died).await?;
        }
        let drained = sqlx::query(sql!("slots/drained_leases")).bind(self.now).bind(SWEEP_LIMIT);
        let drained = ids(&drained.fetch_all(&mut *self.connection).await?)?;
        self.end_holds(&drained, Some(HoldEnd::DrainedOut)).await?;
        sqlx::query(sql!("slots/end_pauses")).bind(self.now).execute(&mut *self.connection).await?;
        self.grant().await
    }

    /// Ends sessions. Their leases drain or are freed, and their waiters are removed.
    pub(super) async fn end_sessions(&mut self, sessions: &[String], end: HoldEnd) -> sqlx::Result<()> {
        let sessions = to_json(sessions)?;
        let rows = sqlx::query(sql!("slots/queues_of_sessions"))
            .bind(&sessions)
            .fetch_all(&mut *self.connection)
            .await?;
        let queues: Vec<QueueKey> = rows.iter().map(QueueKey::from_columns).collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("slots/drain_sessions"))
            .bind(&sessions)
            .bind(self.now)
            .execute(&mut *self.connection)
            .await?;
        let held = sqlx::query(sql!("slots/held_by_sessions")).bind(&sessions);
        let held = ids(&held.fetch_all(&mut *self.connection).await?)?;
        self.end_holds(&held, Some(end)).await?;
        for delete in [sql!("slots/remove_waiters_of_sessions"), sql!("slots/close_sessions")] {
            sqlx::query(delete).bind(&sessions).execute(&mut *self.connection).await?;
        }
        self.set_queue_heads(&queues).await
    }

    /// Sets the heads of these queues. Call it after every change of a queue.
    pub(super) async fn set_queue_heads(&mut self, queues: &[QueueKey]) -> sqlx::Result<()> {
        if queues.is_empty() {
            return Ok(());
        }
        sqlx::query(sql!("slots/set_queue_heads"))
            .bind(to_json(queues)?)
            .execute(&mut *self.connection)
            .await
            .map(drop)
    }

    /// Writes the store's own row if it changed.
    async fn save(&mut self) -> sqlx::Result<()> {
        if !self.changed {
            return Ok(());
        }
        sqlx::query(sql!("slots/save_store"))
            .bind(integer(self.number))
            .bind(self.recovering_until)
            .execute(&mut *self.connection)
            .await
            .map(drop)
    }
}

fn ids(rows: &[SqliteRow]) -> sqlx::Result<Vec<LeaseId>> {
    rows.iter().map(|row| parsed(row, "id")).collect()
}

/// Identifies a wait queue: the requests of one tenant for the same set of pools. A request for one backend
/// therefore does not delay a request for another, even of the same tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct QueueKey {
    pub(super) tenant: Tenant,
    /// The names of the pools, sorted, as JSON.
    pub(super) pools: String,
}

impl QueueKey {
    pub(super) fn from_columns(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { tenant: parsed(row, "tenant")?, pools: text(row, "pools")? })
    }
}
