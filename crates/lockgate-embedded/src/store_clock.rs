//! The virtual clock of the slots and of subscriptions. It is stored in the file, so all processes share it.
//!
//! The clock never goes back, and it advances by a bounded step per call. A suspended host, or a pause of all
//! processes, therefore does not expire every session at once.

use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use sqlx::{Row, SqliteConnection};

use crate::columns::sql;
use crate::database::Database;

/// A reading of the host's clocks, which each call passes to the store.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    uptime: i64,
    boot: String,
    wall_micros: u64,
    timing: SlotTiming,
}

impl Reading {
    pub(crate) fn of(database: &Database, timing: SlotTiming) -> Self {
        let wall_micros = u64::try_from(database.now().0).unwrap_or(0).saturating_mul(1_000);
        Self { uptime: database.uptime(), boot: database.boot().to_owned(), wall_micros, timing }
    }

    pub(crate) fn timing(&self) -> &SlotTiming {
        &self.timing
    }

    /// Returns the wall-clock time in microseconds. It is the lower bound of new fences, so that fences grow
    /// even across a loss of state.
    pub(crate) fn wall_micros(&self) -> u64 {
        self.wall_micros
    }

    /// Advances the clock to this reading and returns virtual time in milliseconds.
    ///
    /// The first call after a reboot of the host ends all sessions and consumers, because their processes are
    /// dead.
    pub(crate) async fn tick(&self, tx: &mut SqliteConnection) -> sqlx::Result<i64> {
        let row = sqlx::query(sql!("clock/read")).fetch_one(&mut *tx).await?;
        let (now, uptime): (i64, i64) = (row.try_get("now")?, row.try_get("uptime")?);
        if row.try_get::<&str, _>("boot")? != self.boot {
            sqlx::query(sql!("clock/end_sessions")).bind(now).execute(&mut *tx).await?;
            sqlx::query(sql!("clock/end_consumers")).bind(now).execute(&mut *tx).await?;
            self.advance(tx, now).await?;
            return Ok(now);
        }
        let next = self.timing.tick(now, uptime, self.uptime);
        // Virtual time follows from the last stored reading, so not every reading has to be stored. It is
        // stored often enough that a step stays far below the longest allowed one.
        if self.uptime.saturating_sub(uptime) >= millis(self.timing.heartbeat) / 8 {
            self.advance(tx, next).await?;
        }
        Ok(next)
    }

    /// Returns virtual time in milliseconds without storing it. `None` when no process has stored a reading
    /// for a ttl, so that none is alive.
    pub(crate) async fn peek(&self, connection: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
        let row = sqlx::query(sql!("clock/read")).fetch_one(connection).await?;
        let (now, uptime): (i64, i64) = (row.try_get("now")?, row.try_get("uptime")?);
        let is_current = row.try_get::<&str, _>("boot")? == self.boot
            && self.uptime.saturating_sub(uptime) < millis(self.timing.ttl);
        Ok(is_current.then(|| self.timing.tick(now, uptime, self.uptime)))
    }

    async fn advance(&self, tx: &mut SqliteConnection, now: i64) -> sqlx::Result<()> {
        sqlx::query(sql!("clock/advance"))
            .bind(now)
            .bind(self.uptime)
            .bind(&self.boot)
            .execute(tx)
            .await
            .map(drop)
    }
}
