//! Ledger time of this process. It counts by the host's uptime, and is shared with other processes through
//! the database.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger_clock::{ClockPoint, LedgerClock, WallOffset};
use lockgate_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use sqlx::{PgConnection, Row};

use crate::columns::sql;
use crate::database::{Database, Doing, Work};

const DOING: &str = "reading the ledger's clock";

/// How often a process reports its ledger time, in milliseconds. A process that starts continues from the
/// last report.
const REPORT_EVERY: i64 = 2_000;

/// The clock of one process.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Counting>>);

#[derive(Debug, Clone, Copy)]
struct Counting {
    clock: LedgerClock,
    reported_at: i64,
}

impl Clock {
    /// Returns ledger time. The first call reads it from the database; later ones report it every
    /// [`REPORT_EVERY`] ms.
    pub(super) async fn now(&self, database: &Database) -> Result<Timestamp, EngineError> {
        let uptime = uptime();
        match self.counting() {
            Some(Counting { clock, reported_at }) if uptime.saturating_sub(reported_at) < REPORT_EVERY => {
                Ok(clock.now(uptime))
            }
            Some(Counting { clock, .. }) => Ok(self.report(database, clock).await),
            None => {
                let Reading { ledger, wall } = database.call(DOING, &ReadClock).await?;
                database.observe_clock(wall);
                // Reported with the next call, because a process that makes only one call has nothing to
                // report.
                Ok(self.count(LedgerClock::new(ledger, uptime), uptime.saturating_sub(REPORT_EVERY)))
            }
        }
    }

    /// Returns the offset from ledger time to wall time, now.
    pub(super) async fn offset(&self, database: &Database) -> Result<WallOffset, EngineError> {
        let now = self.now(database).await?;
        Ok(WallOffset::between(database.now(), now))
    }

    /// Reports ledger time to the database. A failure is not an error of the caller, because the next call
    /// reports again.
    async fn report(&self, database: &Database, clock: LedgerClock) -> Timestamp {
        let reading = database.call(DOING, &AdvanceClock { ledger: clock.now(uptime()) }).await;
        let uptime = uptime();
        match reading {
            Ok(Reading { ledger, wall }) => {
                database.observe_clock(wall);
                self.count(clock.at_least(ledger, uptime), uptime)
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "ledger time not reported");
                clock.now(uptime)
            }
        }
    }

    fn counting(&self) -> Option<Counting> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the clock. When another call has set it in the meantime, the later time wins.
    fn count(&self, clock: LedgerClock, reported_at: i64) -> Timestamp {
        let uptime = uptime();
        let mut counting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = counting.map_or(clock, |known| known.clock.at_least(clock.now(uptime), uptime));
        *counting = Some(Counting { clock, reported_at });
        clock.now(uptime)
    }
}

/// Returns the milliseconds since the host was started, including sleep.
fn uptime() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000)
}

struct Reading {
    ledger: Timestamp,
    wall: Timestamp,
}

struct ReadClock;

#[async_trait]
impl Work for ReadClock {
    type Output = Reading;

    async fn run(&self, connection: &mut PgConnection) -> Result<Reading, EngineError> {
        let row = sqlx::query(sql!("ledger/read_clock")).fetch_one(connection).await.doing(DOING)?;
        let time = |column| row.try_get(column).map(Timestamp).doing(DOING);
        let (point, wall) = (ClockPoint { ledger: time("ledger")?, wall: time("wall")? }, time("now")?);
        let is_counted = row.try_get("is_counted").doing(DOING)?;
        Ok(Reading { ledger: point.at(wall, is_counted), wall })
    }
}

struct AdvanceClock {
    ledger: Timestamp,
}

#[async_trait]
impl Work for AdvanceClock {
    type Output = Reading;

    async fn run(&self, connection: &mut PgConnection) -> Result<Reading, EngineError> {
        let row = sqlx::query(sql!("ledger/advance_clock")).bind(self.ledger.0).fetch_one(connection).await;
        let row = row.doing(DOING)?;
        let time = |column| row.try_get(column).map(Timestamp).doing(DOING);
        Ok(Reading { ledger: time("ledger")?, wall: time("wall")? })
    }
}
