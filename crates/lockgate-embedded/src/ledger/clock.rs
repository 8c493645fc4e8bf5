//! Ledger time, stored in the file. Within a boot of the host all processes derive it from the uptime and the
//! same start point.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use lockgate_core::ledger_clock::{ClockPoint, LedgerClock};
use lockgate_core::time::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::columns::sql;
use crate::database::{Database, Doing, Write};

const DOING: &str = "reading the ledger's clock";

/// Returns the ledger clock of this boot. The first process of a boot stores its start point.
pub(super) async fn join(database: &Database) -> Result<LedgerClock, EngineError> {
    let reading = Reading::of(database);
    let mut reader = database.reader().acquire().await.doing(DOING)?;
    let known = reading.clock(&mut reader).await.doing(DOING)?;
    drop(reader);
    match known {
        Some(clock) => Ok(clock),
        None => database.write(DOING, BeginBoot { reading }).await,
    }
}

/// Returns ledger time without storing the clock, which would need the write lock.
pub(super) async fn peek(database: &Database, reader: &mut SqliteConnection) -> sqlx::Result<Timestamp> {
    let reading = Reading::of(database);
    match reading.clock(reader).await? {
        Some(clock) => Ok(clock.now(reading.uptime)),
        None => reading.after_boot(reader).await,
    }
}

/// A reading of the host's clocks.
pub(super) struct Reading {
    wall: Timestamp,
    uptime: i64,
    boot: String,
}

impl Reading {
    pub(super) fn of(database: &Database) -> Self {
        Self { wall: database.now(), uptime: database.uptime(), boot: database.boot().to_owned() }
    }

    /// Returns the stored clock; `None` when no process has stored it since the host was booted.
    async fn clock(&self, connection: &mut SqliteConnection) -> sqlx::Result<Option<LedgerClock>> {
        let row = sqlx::query(sql!("ledger/read_clock")).fetch_one(connection).await?;
        let (boot, uptime): (&str, i64) = (row.try_get("boot")?, row.try_get("uptime")?);
        let ledger = Timestamp(row.try_get("ledger")?);
        Ok((boot == self.boot && uptime > 0).then(|| LedgerClock::new(ledger, uptime)))
    }

    /// Returns the ledger time for the first process of a boot. No older process can still run after a
    /// reboot.
    async fn after_boot(&self, connection: &mut SqliteConnection) -> sqlx::Result<Timestamp> {
        let row = sqlx::query(sql!("ledger/read_clock")).fetch_one(connection).await?;
        let (ledger, wall) = (Timestamp(row.try_get("ledger")?), Timestamp(row.try_get("wall")?));
        Ok(ClockPoint { ledger, wall }.at(self.wall, false))
    }

    /// Stores this moment as the latest point, where the first process after the next boot continues.
    pub(super) async fn save(&self, tx: &mut SqliteConnection, ledger: Timestamp) -> sqlx::Result<()> {
        sqlx::query(sql!("ledger/set_clock"))
            .bind(ledger.0)
            .bind(self.wall.0)
            .bind(self.uptime)
            .bind(&self.boot)
            .execute(tx)
            .await
            .map(drop)
    }
}

/// Stores the start point of this boot, unless another process has done so in the meantime.
struct BeginBoot {
    reading: Reading,
}

#[async_trait]
impl Write for BeginBoot {
    type Output = LedgerClock;

    /// The next process would store the same point.
    fn is_best_effort(&self) -> bool {
        true
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<LedgerClock, EngineError> {
        self.begin(tx).await.doing(DOING)
    }
}

impl BeginBoot {
    async fn begin(&self, tx: &mut SqliteConnection) -> sqlx::Result<LedgerClock> {
        if let Some(clock) = self.reading.clock(&mut *tx).await? {
            return Ok(clock);
        }
        let ledger = self.reading.after_boot(&mut *tx).await?;
        self.reading.save(tx, ledger).await?;
        Ok(LedgerClock::new(ledger, self.reading.uptime))
    }
}
