//! A subscription: a consumer in the file, its heartbeat beside the writer, and the stream of what it takes.
//!
//! It must never keep a message that its consumer no longer has: everything it knows of its window is in the file.

use async_trait::async_trait;
use lockgate_core::broker::{Deliveries, Delivery, DeliveryTag, Origin, Rejection};
use lockgate_core::dead::DeadReason;
use lockgate_core::error::{EngineError, chain};
use lockgate_core::name::QueueName;
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::columns::{sql, to_json};
use crate::database::{Answer, Database, Doing, Watch, Write, answered};
use crate::store_clock::Reading;

const TAKING: &str = "taking messages";

/// A stream of deliveries.
pub(super) struct Subscription {
    database: Database,
    commits: Watch,
    consumer: i64,
    queue: QueueName,
    window: u32,
    /// A take that is under way. It is kept here, so that dropping the future of `next` loses nothing.
    taking: Option<Answer<Vec<Delivery>>>,
    /// Dropped with the subscription: its heartbeat ends, and gives back what was not settled.
    _open: oneshot::Sender<()>,
}

impl Subscription {
    pub(super) async fn open(
        database: &Database,
        timing: SlotTiming,
        queue: &QueueName,
        window: u32,
    ) -> Result<Self, EngineError> {
        let commits = database.watch();
        let reading = Reading::take(database, timing);
        let consumer = database.write("subscribing", OpenConsumer { reading, queue: queue.clone() }).await?;
        let (open, closed) = oneshot::channel();
        database.beside_writer(stay_alive(database.clone(), timing, consumer, closed));
        Ok(Self {
            database: database.clone(),
            commits,
            consumer,
            queue: queue.clone(),
            window: window.max(1),
            taking: None,
            _open: open,
        })
    }

    async fn may_take(&self) -> sqlx::Result<bool> {
        sqlx::query_scalar(sql!("broker/may_take"))
            .bind(self.consumer)
            .bind(self.queue.as_str())
            .bind(self.window)
            .fetch_one(self.database.reader())
            .await
    }

    /// What a take that is under way brings.
    async fn taken(&mut self) -> Result<Vec<Delivery>, EngineError> {
        let Some(taking) = &mut self.taking else { return Ok(Vec::new()) };
        let answer = taking.await;
        self.taking = None;
        answered(TAKING, answer)
    }
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        loop {
            let taken = self.taken().await?;
            if !taken.is_empty() {
                return Ok(taken);
            }
            self.commits.listen();
            // A look first: an idle subscriber never takes the write lock.
            if self.may_take().await.doing(TAKING)? {
                let (queue, window) = (self.queue.clone(), self.window);
                let take = Take { consumer: self.consumer, queue, window };
                self.taking = Some(self.database.submit(TAKING, take).await?);
            } else {
                self.commits.rung().await;
            }
        }
    }
}

/// The heartbeat of a consumer, until its subscription is dropped or it was taken for dead.
async fn stay_alive(
    database: Database,
    timing: SlotTiming,
    consumer: i64,
    mut closed: oneshot::Receiver<()>,
) {
    let mut beat = interval(timing.heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => {
                let reading = Reading::take(&database, timing);
                let renewed = database.write("keeping a subscription", Renew { reading, consumer }).await;
                // A beat that failed is made up for by the next; one that came too late ends the subscription.
                if missed(renewed) == Some(false) {
                    return;
                }
            }
            _ = &mut closed => break,
        }
    }
    missed(database.write("ending a subscription", CloseConsumer { consumer }).await);
}

fn missed<T>(done: Result<T, EngineError>) -> Option<T> {
    done.inspect_err(|error| tracing::warn!(error = %chain(error), "a subscription was not kept up")).ok()
}

/// Makes a consumer, alive for a ttl.
pub(super) struct OpenConsumer {
    pub(super) reading: Reading,
    pub(super) queue: QueueName,
}

#[async_trait]
impl Write for OpenConsumer {
    type Output = i64;

    async fn run(&self, tx: &mut SqliteConnection) -> Result<i64, EngineError> {
        let now = self.reading.tick(tx).await.doing("subscribing")?;
        sqlx::query_scalar(sql!("broker/open_consumer"))
            .bind(now.saturating_add(millis(self.reading.timing().ttl)))
            .bind(self.queue.as_str())
            .fetch_one(tx)
            .await
            .doing("subscribing")
    }
}

/// Takes what a consumer's window has room for.
pub(super) struct Take {
    pub(super) consumer: i64,
    pub(super) queue: QueueName,
    pub(super) window: u32,
}

#[async_trait]
impl Write for Take {
    type Output = Vec<Delivery>;

    /// After a loss of power its consumer is dead, and the messages are there again.
    fn is_durable(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Delivery>, EngineError> {
        let mut rows = sqlx::query(sql!("broker/take"))
            .bind(self.consumer)
            .bind(self.queue.as_str())
            .bind(self.window)
            .fetch_all(&mut *tx)
            .await
            .and_then(|rows| {
                rows.iter().map(|row| delivery(row, self.consumer)).collect::<sqlx::Result<Vec<_>>>()
            })
            .doing(TAKING)?;
        rows.sort_unstable_by_key(|delivery| delivery.tag.number);
        if rows.is_empty() && !self.is_alive(tx).await.doing(TAKING)? {
            let source = "it missed its heartbeats and was taken for dead; subscribe again".into();
            return Err(EngineError::Unavailable { doing: "keeping a subscription".to_owned(), source });
        }
        Ok(rows)
    }
}

impl Take {
    async fn is_alive(&self, tx: &mut SqliteConnection) -> sqlx::Result<bool> {
        sqlx::query_scalar(sql!("broker/is_alive")).bind(self.consumer).fetch_one(tx).await
    }
}

fn delivery(row: &SqliteRow, consumer: i64) -> sqlx::Result<Delivery> {
    let generation = u64::try_from(consumer).unwrap_or_default();
    Ok(Delivery {
        tag: DeliveryTag { generation, number: row.try_get("number")? },
        message: serde_json::from_str(row.try_get("envelope")?)
            .map_err(|error| Rejection::new(DeadReason::Malformed, error.to_string())),
        origin: Origin::Dispatcher,
        redelivered: row.try_get::<i64, _>("deliveries")? > 1,
    })
}

/// Renews one consumer and gives back what dead ones had. Answers whether it was still known.
struct Renew {
    reading: Reading,
    consumer: i64,
}

#[async_trait]
impl Write for Renew {
    type Output = bool;

    /// A consumer dies with the host.
    fn is_durable(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<bool, EngineError> {
        self.renew(tx).await.doing("keeping a subscription")
    }
}

impl Renew {
    async fn renew(&self, tx: &mut SqliteConnection) -> sqlx::Result<bool> {
        let now = self.reading.tick(tx).await?;
        let renewed = sqlx::query(sql!("broker/renew_consumer"))
            .bind(self.consumer)
            .bind(now.saturating_add(millis(self.reading.timing().ttl)))
            .execute(&mut *tx)
            .await?;
        let dead: Vec<i64> =
            sqlx::query_scalar(sql!("broker/dead_consumers")).bind(now).fetch_all(&mut *tx).await?;
        if !dead.is_empty() {
            close(tx, &dead).await?;
        }
        Ok(renewed.rows_affected() > 0)
    }
}

struct CloseConsumer {
    consumer: i64,
}

#[async_trait]
impl Write for CloseConsumer {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        close(tx, &[self.consumer]).await.doing("ending a subscription")
    }
}

async fn close(tx: &mut SqliteConnection, consumers: &[i64]) -> sqlx::Result<()> {
    let consumers = to_json(consumers)?;
    sqlx::query(sql!("broker/give_back")).bind(&consumers).execute(&mut *tx).await?;
    sqlx::query(sql!("broker/close_consumers")).bind(&consumers).execute(tx).await.map(drop)
}
