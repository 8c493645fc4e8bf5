//! The desk: one call to the slots, in its transaction. The clock moves, what has expired goes, then the call is made.
//!
//! It must never let a call see what has expired, nor give a number out twice.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::history::{HistoryPoint, HoldEnd};
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use lockgate_core::{Fence, LeaseId, SessionId, Tenant};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::queue::Queue;
use crate::columns::{integer, name, sql, text, to_json};
use crate::database::{Doing, Write};
use crate::store_clock::Reading;

/// Sessions, and leases, that one call sweeps at most. The next call sweeps on.
const SWEPT: u32 = 100;

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) process: String,
}

/// What a call does at the desk.
#[async_trait]
pub(super) trait Operation: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Whose session it keeps alive, whatever its deadline: a slow but live holder is not reclaimed.
    fn renews(&self) -> Option<&Caller> {
        None
    }

    /// Whether a loss of power must not take it back. Who holds or waits dies with the host, so by default it may.
    fn is_durable(&self) -> bool {
        false
    }

    /// As [`Write::is_look`].
    fn is_look(&self) -> bool {
        false
    }

    async fn run(&self, desk: &mut Desk<'_>) -> Result<Self::Answer, EngineError>;
}

/// A call as the writer runs it.
pub(super) struct Call<O> {
    pub(super) doing: &'static str,
    pub(super) reading: Reading,
    pub(super) operation: O,
}

#[async_trait]
impl<O: Operation> Write for Call<O> {
    type Output = O::Answer;

    fn is_durable(&self) -> bool {
        self.operation.is_durable()
    }

    fn is_look(&self) -> bool {
        self.operation.is_look()
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<O::Answer, EngineError> {
        let mut desk = Desk::open(tx, &self.reading).await.doing(self.doing)?;
        if let Some(caller) = self.operation.renews() {
            desk.renew(caller).await.doing(self.doing)?;
        }
        desk.sweep().await.doing(self.doing)?;
        let answer = self.operation.run(&mut desk).await?;
        desk.save().await.doing(self.doing)?;
        Ok(answer)
    }
}

/// One call, in its transaction.
pub(super) struct Desk<'t> {
    pub(super) tx: &'t mut SqliteConnection,
    /// Virtual milliseconds.
    pub(super) now: i64,
    pub(super) timing: SlotTiming,
    /// Until when nothing is granted, because the state was lost.
    pub(super) learning_until: Option<i64>,
    number: u64,
    wall_micros: u64,
    changed: bool,
}

impl<'t> Desk<'t> {
    async fn open(tx: &'t mut SqliteConnection, reading: &Reading) -> sqlx::Result<Self> {
        let now = reading.tick(tx).await?;
        let timing = *reading.timing();
        let wall_micros = reading.wall_micros();
        let store = sqlx::query(sql!("slots/read_store")).fetch_optional(&mut *tx).await?;
        let is_lost = store.is_none();
        let (number, learning_until) = match store {
            Some(row) => (row.try_get("number")?, row.try_get::<Option<i64>, _>("learning_until")?),
            None => {
                let until = now.saturating_add(millis(timing.ttl));
                sqlx::query(sql!("slots/begin_learning"))
                    .bind(integer(wall_micros))
                    .bind(until)
                    .execute(&mut *tx)
                    .await?;
                (wall_micros, Some(until))
            }
        };
        let mut desk = Self { tx, now, timing, learning_until, number, wall_micros, changed: false };
        if is_lost {
            desk.begin_record().await?;
        }
        if learning_until.is_some_and(|until| until <= now) {
            desk.learning_until = None;
            desk.changed = true;
            desk.grant().await?;
        }
        Ok(desk)
    }

    /// Begins the recovery grace period: nothing is granted for this many milliseconds. A longer one goes on.
    pub(super) fn begin_grace(&mut self, millis: i64) {
        let until = self.now.saturating_add(millis);
        self.learning_until = Some(self.learning_until.map_or(until, |running| running.max(until)));
        self.changed = true;
    }

    /// The next fence, or the number of an order to stop. The clock in it carries it over a loss of state.
    pub(super) fn next_number(&mut self) -> Fence {
        self.number = self.number.saturating_add(1).max(self.wall_micros);
        self.changed = true;
        Fence(self.number)
    }

    /// A fence that was given out before the state was lost.
    pub(super) fn saw_number(&mut self, fence: Fence) {
        self.number = self.number.max(fence.0);
        self.changed = true;
    }

    /// The point in the store's time.
    pub(super) fn moment(&self) -> HistoryPoint {
        HistoryPoint { number: self.number, at_ms: integer(self.wall_micros / 1_000) }
    }

    /// Grants until nobody who may have slots waits for free ones.
    pub(super) async fn grant(&mut self) -> sqlx::Result<()> {
        let mut queue = Queue::load(self, Default::default(), Default::default()).await?;
        queue.settle(self).await
    }

    /// Opens a session that is not known.
    pub(super) async fn meet(&mut self, caller: &Caller) -> sqlx::Result<()> {
        sqlx::query(sql!("slots/open_session"))
            .bind(caller.session.to_string())
            .bind(&caller.process)
            .bind(self.deadline())
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }

    async fn renew(&mut self, caller: &Caller) -> sqlx::Result<()> {
        let renewed = sqlx::query(sql!("slots/renew_session"))
            .bind(caller.session.to_string())
            .bind(self.deadline())
            .execute(&mut *self.tx)
            .await?;
        if renewed.rows_affected() == 0 { self.meet(caller).await } else { Ok(()) }
    }

    fn deadline(&self) -> i64 {
        self.now.saturating_add(millis(self.timing.ttl))
    }

    /// Ends dead sessions and pauses that are over, and frees what has drained.
    async fn sweep(&mut self) -> sqlx::Result<()> {
        let due: bool =
            sqlx::query_scalar(sql!("slots/is_due")).bind(self.now).fetch_one(&mut *self.tx).await?;
        if !due {
            return Ok(());
        }
        let dead: Vec<String> = sqlx::query_scalar(sql!("slots/dead_sessions"))
            .bind(self.now)
            .bind(SWEPT)
            .fetch_all(&mut *self.tx)
            .await?;
        if !dead.is_empty() {
            self.end_sessions(&dead, HoldEnd::Died).await?;
        }
        let drained = sqlx::query(sql!("slots/drained_leases")).bind(self.now).bind(SWEPT);
        let drained = ids(&drained.fetch_all(&mut *self.tx).await?)?;
        self.end_holds(&drained, Some(HoldEnd::DrainedOut)).await?;
        sqlx::query(sql!("slots/end_pauses")).bind(self.now).execute(&mut *self.tx).await?;
        self.grant().await
    }

    /// Ends sessions: what they hold drains or is free, their waiters leave.
    pub(super) async fn end_sessions(&mut self, sessions: &[String], end: HoldEnd) -> sqlx::Result<()> {
        let sessions = to_json(sessions)?;
        let rows =
            sqlx::query(sql!("slots/lines_of_sessions")).bind(&sessions).fetch_all(&mut *self.tx).await?;
        let lines: Vec<LineKey> = rows.iter().map(LineKey::from_columns).collect::<sqlx::Result<_>>()?;
        sqlx::query(sql!("slots/drain_sessions"))
            .bind(&sessions)
            .bind(self.now)
            .execute(&mut *self.tx)
            .await?;
        let held = sqlx::query(sql!("slots/held_by_sessions")).bind(&sessions);
        let held = ids(&held.fetch_all(&mut *self.tx).await?)?;
        self.end_holds(&held, Some(end)).await?;
        for forget in [sql!("slots/leave_sessions"), sql!("slots/close_sessions")] {
            sqlx::query(forget).bind(&sessions).execute(&mut *self.tx).await?;
        }
        self.name_heads(&lines).await
    }

    /// After a change of these lines, names their first ones.
    pub(super) async fn name_heads(&mut self, lines: &[LineKey]) -> sqlx::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        sqlx::query(sql!("slots/name_heads")).bind(to_json(lines)?).execute(&mut *self.tx).await.map(drop)
    }

    async fn save(&mut self) -> sqlx::Result<()> {
        if !self.changed {
            return Ok(());
        }
        sqlx::query(sql!("slots/save_store"))
            .bind(integer(self.number))
            .bind(self.learning_until)
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }
}

fn ids(rows: &[SqliteRow]) -> sqlx::Result<Vec<LeaseId>> {
    rows.iter().map(|row| name(row, "id")).collect()
}

/// A line: the waiters of one tenant for the same pools. Who waits for one backend holds up nobody, not even of its
/// tenant, who waits for another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct LineKey {
    pub(super) tenant: Tenant,
    /// The names of the pools, sorted, as JSON.
    pub(super) pools: String,
}

impl LineKey {
    pub(super) fn from_columns(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self { tenant: name(row, "tenant")?, pools: text(row, "pools")? })
    }
}
