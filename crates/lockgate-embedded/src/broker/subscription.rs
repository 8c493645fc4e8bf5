//! A subscription: a consumer in the file, its heartbeat on the writer's thread, and the stream of its
//! deliveries.
//!
//! The file alone knows which messages a consumer has. A consumer that was declared dead therefore cannot
//! keep messages that others have received since.

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
use crate::database::{CommitListener, Database, Doing, Write, WriteReceiver, write_result};
use crate::store_clock::Reading;

const RECEIVING: &str = "receiving messages";

/// The deliveries of one consumer.
pub(super) struct Subscription {
    database: Database,
    commits: CommitListener,
    consumer: i64,
    queue: QueueName,
    prefetch: u32,
    /// A submitted receive. It is kept here, so that dropping the future of `next` loses no delivery.
    receiving: Option<WriteReceiver<Vec<Delivery>>>,
    /// Dropped with the subscription. This ends the heartbeats, and returns the messages in flight to the
    /// queue.
    _open: oneshot::Sender<()>,
}

impl Subscription {
    pub(super) async fn open(
        database: &Database,
        timing: SlotTiming,
        queue: &QueueName,
        prefetch: u32,
    ) -> Result<Self, EngineError> {
        let commits = database.commits();
        let reading = Reading::of(database, timing);
        let consumer = database.write("subscribing", OpenConsumer { reading, queue: queue.clone() }).await?;
        let (open, closed) = oneshot::channel();
        database.spawn_on_writer(send_heartbeats(database.clone(), timing, consumer, closed));
        Ok(Self {
            database: database.clone(),
            commits,
            consumer,
            queue: queue.clone(),
            prefetch: prefetch.max(1),
            receiving: None,
            _open: open,
        })
    }

    /// Returns whether a message is ready and the prefetch is not reached.
    async fn may_receive(&self) -> sqlx::Result<bool> {
        sqlx::query_scalar(sql!("broker/may_receive"))
            .bind(self.consumer)
            .bind(self.queue.as_str())
            .bind(self.prefetch)
            .fetch_one(self.database.reader())
            .await
    }

    /// Returns the deliveries of a submitted receive, or none when none was submitted.
    async fn received(&mut self) -> Result<Vec<Delivery>, EngineError> {
        let Some(receiving) = &mut self.receiving else { return Ok(Vec::new()) };
        let output = receiving.await;
        self.receiving = None;
        write_result(RECEIVING, output)
    }
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        loop {
            let received = self.received().await?;
            if !received.is_empty() {
                return Ok(received);
            }
            self.commits.mark_seen();
            // Read first, so that an idle subscriber never takes the write lock.
            if self.may_receive().await.doing(RECEIVING)? {
                let (queue, prefetch) = (self.queue.clone(), self.prefetch);
                let receive = Receive { consumer: self.consumer, queue, prefetch };
                self.receiving = Some(self.database.submit(RECEIVING, receive).await?);
            } else {
                self.commits.wait().await;
            }
        }
    }
}

/// Sends the heartbeats of a consumer until its subscription is dropped or the consumer was declared dead.
async fn send_heartbeats(
    database: Database,
    timing: SlotTiming,
    consumer: i64,
    mut closed: oneshot::Receiver<()>,
) {
    let mut heartbeat = interval(timing.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = heartbeat.tick() => {
                let reading = Reading::of(&database, timing);
                let renewed = database.write("renewing a subscription", Renew { reading, consumer }).await;
                // The next heartbeat makes up for a failed one. A heartbeat after the deadline ends the
                // subscription.
                if log_failure(renewed) == Some(false) {
                    return;
                }
            }
            _ = &mut closed => break,
        }
    }
    log_failure(database.write("closing a subscription", CloseConsumer { consumer }).await);
}

fn log_failure<T>(done: Result<T, EngineError>) -> Option<T> {
    done.inspect_err(|error| tracing::warn!(error = %chain(error), "subscription not renewed")).ok()
}

/// Creates a consumer that is alive for one ttl.
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

/// Receives messages up to the prefetch of a consumer.
pub(super) struct Receive {
    pub(super) consumer: i64,
    pub(super) queue: QueueName,
    /// The most messages that the consumer may have in flight.
    pub(super) prefetch: u32,
}

#[async_trait]
impl Write for Receive {
    type Output = Vec<Delivery>;

    /// After a loss of power the consumer is dead, and the messages are ready again.
    fn is_durable(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<Vec<Delivery>, EngineError> {
        let mut rows = sqlx::query(sql!("broker/receive"))
            .bind(self.consumer)
            .bind(self.queue.as_str())
            .bind(self.prefetch)
            .fetch_all(&mut *tx)
            .await
            .and_then(|rows| {
                rows.iter().map(|row| delivery(row, self.consumer)).collect::<sqlx::Result<Vec<_>>>()
            })
            .doing(RECEIVING)?;
        rows.sort_unstable_by_key(|delivery| delivery.tag.number);
        if rows.is_empty() && !self.is_alive(tx).await.doing(RECEIVING)? {
            let source = "the consumer missed its heartbeats and was declared dead; subscribe again".into();
            return Err(EngineError::Unavailable { doing: "renewing a subscription".to_owned(), source });
        }
        Ok(rows)
    }
}

impl Receive {
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

/// Renews one consumer, and removes dead ones. Returns false when the consumer itself was removed as dead.
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
        self.renew(tx).await.doing("renewing a subscription")
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

/// Removes a consumer.
struct CloseConsumer {
    consumer: i64,
}

#[async_trait]
impl Write for CloseConsumer {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        close(tx, &[self.consumer]).await.doing("closing a subscription")
    }
}

/// Returns the messages that consumers have in flight to their queues, then removes the consumers.
async fn close(tx: &mut SqliteConnection, consumers: &[i64]) -> sqlx::Result<()> {
    let consumers = to_json(consumers)?;
    sqlx::query(sql!("broker/return_from_consumers")).bind(&consumers).execute(&mut *tx).await?;
    sqlx::query(sql!("broker/close_consumers")).bind(&consumers).execute(tx).await.map(drop)
}
