//! The clock of the slots and of subscriptions: virtual, in the file, the same for every process.
//!
//! It must never go back nor leap: a suspended host, or a pause of all processes, expires nobody at once.

use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use sqlx::{Row, SqliteConnection};

use crate::columns::sql;
use crate::database::Database;

/// A reading of the host's uptime, handed to the store with each call.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    uptime: i64,
    boot: String,
    wall_micros: u64,
    timing: SlotTiming,
}

impl Reading {
    pub(crate) fn take(database: &Database, timing: SlotTiming) -> Self {
        let wall_micros = u64::try_from(database.now().0).unwrap_or(0).saturating_mul(1_000);
        Self { uptime: database.uptime(), boot: database.boot().to_owned(), wall_micros, timing }
    }

    pub(crate) fn timing(&self) -> &SlotTiming {
        &self.timing
    }

    /// The wall clock in microseconds: what numbers grow by across a loss of state.
    pub(crate) fn wall_micros(&self) -> u64 {
        self.wall_micros
    }

    /// Advances the clock to this reading and answers what it shows, in milliseconds.
    ///
    /// After another start of the host all who were alive are dead: they are made so here, once.
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
        // What it shows follows from the last reading that was kept, so not every one need be: only often enough that
        // a step stays far below the longest.
        if self.uptime.saturating_sub(uptime) >= millis(self.timing.heartbeat) / 8 {
            self.advance(tx, next).await?;
        }
        Ok(next)
    }

    /// What the clock shows, without setting it. `None`: nobody has read it for a ttl, so that nobody is alive.
    pub(crate) async fn look(&self, connection: &mut SqliteConnection) -> sqlx::Result<Option<i64>> {
        let row = sqlx::query(sql!("clock/read")).fetch_one(connection).await?;
        let (now, uptime): (i64, i64) = (row.try_get("now")?, row.try_get("uptime")?);
        let is_kept = row.try_get::<&str, _>("boot")? == self.boot
            && self.uptime.saturating_sub(uptime) < millis(self.timing.ttl);
        Ok(is_kept.then(|| self.timing.tick(now, uptime, self.uptime)))
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
