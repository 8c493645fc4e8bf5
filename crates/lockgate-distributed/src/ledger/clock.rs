//! Ledger time of this process, counted by the host's uptime, and told to the other processes through the database.

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

/// How often a process tells its ledger time, in milliseconds: a process that starts goes on from what was told last.
const TELL_EVERY: i64 = 2_000;

/// The clock of one process.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Counting>>);

#[derive(Debug, Clone, Copy)]
struct Counting {
    clock: LedgerClock,
    told_at: i64,
}

impl Clock {
    /// Ledger time. The first call reads it from the database; a later one tells it now and then.
    pub(super) async fn now(&self, database: &Database) -> Result<Timestamp, EngineError> {
        let uptime = uptime();
        match self.counting() {
            Some(Counting { clock, told_at }) if uptime.saturating_sub(told_at) < TELL_EVERY => {
                Ok(clock.now(uptime))
            }
            Some(Counting { clock, .. }) => Ok(self.tell(database, clock).await),
            None => {
                let Told { ledger, wall } = database.call(DOING, &Join).await?;
                database.saw(wall);
                // The next call tells it: a process that makes only one has nothing to tell.
                Ok(self.count(LedgerClock::new(ledger, uptime), uptime.saturating_sub(TELL_EVERY)))
            }
        }
    }

    /// From ledger time to what people read, now.
    pub(super) async fn offset(&self, database: &Database) -> Result<WallOffset, EngineError> {
        let now = self.now(database).await?;
        Ok(WallOffset::between(database.now(), now))
    }

    /// The call that asks for the time goes on when this fails: the next one tells it.
    async fn tell(&self, database: &Database, clock: LedgerClock) -> Timestamp {
        let told = database.call(DOING, &Keep { ledger: clock.now(uptime()) }).await;
        let uptime = uptime();
        match told {
            Ok(Told { ledger, wall }) => {
                database.saw(wall);
                self.count(clock.at_least(ledger, uptime), uptime)
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "ledger time was not told");
                clock.now(uptime)
            }
        }
    }

    fn counting(&self) -> Option<Counting> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from the later of two counts, where another call has joined meanwhile.
    fn count(&self, clock: LedgerClock, told_at: i64) -> Timestamp {
        let uptime = uptime();
        let mut counting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = counting.map_or(clock, |known| known.clock.at_least(clock.now(uptime), uptime));
        *counting = Some(Counting { clock, told_at });
        clock.now(uptime)
    }
}

/// Milliseconds since the host was started, sleep included.
fn uptime() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000)
}

struct Told {
    ledger: Timestamp,
    wall: Timestamp,
}

struct Join;

#[async_trait]
impl Work for Join {
    type Output = Told;

    async fn run(&self, connection: &mut PgConnection) -> Result<Told, EngineError> {
        let row = sqlx::query(sql!("ledger/join_clock")).fetch_one(connection).await.doing(DOING)?;
        let time = |column| row.try_get(column).map(Timestamp).doing(DOING);
        let (point, wall) = (ClockPoint { ledger: time("ledger")?, wall: time("wall")? }, time("now")?);
        let is_counted = row.try_get("is_counted").doing(DOING)?;
        Ok(Told { ledger: point.at(wall, is_counted), wall })
    }
}

struct Keep {
    ledger: Timestamp,
}

#[async_trait]
impl Work for Keep {
    type Output = Told;

    async fn run(&self, connection: &mut PgConnection) -> Result<Told, EngineError> {
        let row = sqlx::query(sql!("ledger/keep_clock")).bind(self.ledger.0).fetch_one(connection).await;
        let row = row.doing(DOING)?;
        let time = |column| row.try_get(column).map(Timestamp).doing(DOING);
        Ok(Told { ledger: time("ledger")?, wall: time("wall")? })
    }
}
