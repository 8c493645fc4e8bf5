//! The slots of each mode. On purpose they have no sessions, no wait queue, no fences and no recovery.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Script};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::arguments::{Arguments, Mode};

const LEASES: &str = "lockgate-rivals:leases";
const HOLDERS: &str = "lockgate-rivals:holders";
/// The poll interval of the naive worker.
const POLL: Duration = Duration::from_millis(10);
/// After this time the naive semaphore removes a holder, in milliseconds.
const EXPIRY_MS: u64 = 300_000;

/// Deletes the slots of earlier runs.
pub(crate) async fn clear(arguments: &Arguments) -> Result<()> {
    connect(arguments).await?.del::<_, ()>(&[LEASES, HOLDERS]).await.context("clearing the slots")
}

async fn connect(arguments: &Arguments) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(arguments.redis.as_str()).context("reading the URL of Redis")?;
    client.get_multiplexed_async_connection().await.context("connecting to Redis")
}

/// The slots of a mode.
#[derive(Clone)]
pub(crate) enum Slots {
    None,
    Counter { redis: MultiplexedConnection, acquire: Arc<Script>, slots: u32 },
    Polled { redis: MultiplexedConnection, poll: Arc<Script>, slots: u32 },
    Local(Arc<Semaphore>),
}

/// A held slot.
pub(crate) enum Slot {
    None,
    Counted(String),
    Polled(String),
    Local(OwnedSemaphorePermit),
}

impl Slots {
    pub(crate) async fn open(arguments: &Arguments) -> Result<Self> {
        let slots = arguments.slots;
        Ok(match arguments.mode {
            Mode::Raw => Self::None,
            Mode::Prototype => {
                let acquire = Arc::new(Script::new(include_str!("../lua/acquire.lua")));
                Self::Counter { redis: connect(arguments).await?, acquire, slots }
            }
            Mode::Naive => {
                let poll = Arc::new(Script::new(include_str!("../lua/poll.lua")));
                Self::Polled { redis: connect(arguments).await?, poll, slots }
            }
            Mode::Static => {
                let share = arguments.share.unwrap_or(slots);
                Self::Local(Arc::new(Semaphore::new(usize::try_from(share)?)))
            }
        })
    }

    pub(crate) async fn acquire(&mut self) -> Result<Slot> {
        match self {
            Self::None => Ok(Slot::None),
            Self::Local(semaphore) => Ok(Slot::Local(Arc::clone(semaphore).acquire_owned().await?)),
            Self::Counter { redis, acquire, slots } => {
                let lease = Uuid::now_v7().to_string();
                while !acquire.key(LEASES).arg(&lease).arg(*slots).invoke_async::<bool>(redis).await? {
                    tokio::time::sleep(POLL).await;
                }
                Ok(Slot::Counted(lease))
            }
            Self::Polled { redis, poll, slots } => {
                let holder = Uuid::now_v7().to_string();
                loop {
                    let now = now_ms();
                    let mut call = poll.key(HOLDERS);
                    call.arg(&holder).arg(*slots).arg(now).arg(now + EXPIRY_MS);
                    if call.invoke_async::<bool>(redis).await? {
                        return Ok(Slot::Polled(holder));
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    pub(crate) async fn release(&mut self, slot: Slot) -> Result<()> {
        match (self, slot) {
            (Self::Counter { redis, .. }, Slot::Counted(lease)) => {
                redis.hdel::<_, _, ()>(LEASES, lease).await.context("releasing a slot")
            }
            (Self::Polled { redis, .. }, Slot::Polled(holder)) => {
                redis.zrem::<_, _, ()>(HOLDERS, holder).await.context("releasing a slot")
            }
            (_, Slot::Local(permit)) => {
                drop(permit);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0)
}
