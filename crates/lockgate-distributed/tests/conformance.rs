//! The distributed engine in the conformance suite of all engines: the three ports together, on real servers
//! and the real clock.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests, their helpers included")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::lease::{Admission, Session, SlotRequest};
use lockgate_core::pool::{Need, PoolCommand, PoolSpec};
use lockgate_core::timing::SlotTiming;
use lockgate_core::{Engine, LeaseId, PoolName, Tenant};
use lockgate_distributed::{Options, open};
use lockgate_runtime::conformance::model::{self, Effort};
use lockgate_runtime::conformance::{Capabilities, Fixture};
use lockgate_runtime::memory::Memory;
use support::servers::Shared;
use support::wait::{block_on, eventually_async};
use tokio::time::Instant;
use uuid::Uuid;

use database::OwnDatabase;

#[path = "servers/database.rs"]
mod database;
#[path = "servers/queues.rs"]
mod queues;

/// The queues of the suite.
const QUEUES: [&str; 1] = ["q"];

/// A namespace on the shared servers. When this machine has none, which was reported, the memory engine is
/// tested instead.
enum Store {
    Servers { namespace: Namespace, engine: Engine, loses_slots: bool },
    Memory(Memory),
}

struct Namespace {
    shared: &'static Shared,
    database: Arc<OwnDatabase>,
    name: String,
}

fn timing() -> SlotTiming {
    SlotTiming {
        ttl: Duration::from_millis(900),
        heartbeat: Duration::from_millis(150),
        clock_cap: Duration::from_millis(250),
        margin: Duration::from_millis(50),
    }
}

async fn fresh() -> Store {
    let shared = support::servers::shared().unwrap();
    let database = shared.map(|shared| Arc::new(OwnDatabase::on(shared)));
    Store::of(shared, database, true).await
}

impl Store {
    /// Creates a new namespace, on a database that other namespaces may share.
    async fn of(
        shared: Option<&'static Shared>,
        database: Option<Arc<OwnDatabase>>,
        loses_slots: bool,
    ) -> Self {
        let (Some(shared), Some(database)) = (shared, database) else {
            return Self::Memory(Memory::new(timing()));
        };
        let namespace = Namespace { shared, database, name: Uuid::now_v7().simple().to_string() };
        let engine = namespace.open().await;
        Self::Servers { namespace, engine, loses_slots }
    }
}

impl Namespace {
    async fn open(&self) -> Engine {
        let options = Options {
            postgres: self.database.to_string().into(),
            amqp: self.shared.amqp_url().into(),
            redis: self.shared.redis_url().into(),
            namespace: self.name.clone(),
            timing: timing(),
            process: "test".to_owned(),
        };
        open(options).await.unwrap().engine
    }

    /// Steps the server's clock, for this database alone.
    async fn step_clock(&self, off_by_seconds: i64) {
        let stepped =
            include_str!("servers/step_clock.sql").replace("{seconds}", &off_by_seconds.to_string());
        let mut connection = database::raw(&self.database).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(stepped)).execute(&mut connection).await.unwrap();
    }

    /// Deletes all keys of this namespace, as `FLUSHALL` does for the whole server.
    async fn forget_slots(&self) -> redis::RedisResult<()> {
        let mut redis =
            redis::Client::open(self.shared.redis_url())?.get_multiplexed_async_connection().await?;
        let mut forget = redis::cmd("EVAL");
        forget
            .arg(include_str!("servers/forget.lua"))
            .arg(0)
            .arg(format!("{{lockgate:{}}}:*", self.name))
            .query_async(&mut redis)
            .await
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        queues::delete(self.shared.amqp_url(), &format!("{}.", self.name), &QUEUES);
        // This fails only when the server has ended, and the keys with it.
        drop(block_on(async { Ok(self.forget_slots().await?) }));
    }
}

#[async_trait]
impl Fixture for Store {
    fn engine(&self) -> Engine {
        match self {
            Self::Servers { engine, .. } => engine.clone(),
            Self::Memory(memory) => memory.engine(),
        }
    }

    async fn second(&self) -> Engine {
        match self {
            Self::Servers { namespace, .. } => namespace.open().await,
            Self::Memory(memory) => memory.engine(),
        }
    }

    fn timing(&self) -> SlotTiming {
        timing()
    }

    fn capabilities(&self) -> Capabilities {
        let loses_slots = !matches!(self, Self::Servers { loses_slots: false, .. });
        // A passive declaration counts ready messages, with a delay, but not what other processes have in
        // flight.
        Capabilities { virtual_time: false, counts_in_flight: false, loses_slots, ..Capabilities::all() }
    }

    async fn step_clock(&self, off_by_seconds: i64) {
        if let Self::Servers { namespace, .. } = self {
            namespace.step_clock(off_by_seconds).await;
        }
    }

    async fn lose_slots(&self) {
        match self {
            Self::Servers { namespace, .. } => namespace.forget_slots().await.unwrap(),
            Self::Memory(memory) => memory.lose_slots(),
        }
    }
}

lockgate_runtime::conformance_suite!(fresh);

/// Compares the slots with the model. Each sequence has its own namespace; all share a database, which slots
/// do not use.
async fn check(effort: Effort, loses_slots: bool) {
    let shared = support::servers::shared().unwrap();
    let database = shared.map(|shared| Arc::new(OwnDatabase::on(shared)));
    let fresh = async || Store::of(shared, database.clone(), loses_slots).await;
    if let Err(broken) = model::check(effort, fresh).await {
        panic!("{broken}");
    }
}

/// Kept small, because each loss costs a recovery grace period.
#[tokio::test]
async fn slots_behave_like_the_model() {
    check(Effort { sequences: 16, calls: 30, seed: 7 }, true).await;
}

/// Without losses there is time for more sequences, which the rare cases of the order need.
#[tokio::test]
async fn grant_order_equals_that_of_the_model() {
    check(Effort { sequences: 60, calls: 40, seed: 3 }, false).await;
}

fn request() -> SlotRequest {
    SlotRequest {
        lease: LeaseId(Uuid::now_v7()),
        tenant: Tenant::new("t").unwrap(),
        needs: vec![Need { pool: PoolName::new("p").unwrap(), weight: 1 }],
        drain_for: Duration::ZERO,
        max_wait: Duration::from_secs(3_600),
    }
}

async fn acquire(engine: &Engine, session: &Session, request: &SlotRequest) -> Admission {
    engine.slots.acquire(session, vec![request.clone()]).await.unwrap().remove(0)
}

async fn ensure(engine: &Engine) {
    let spec = PoolSpec { name: PoolName::new("p").unwrap(), slots: 1, per_tenant: None };
    engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
}

/// The ledger remembers that a namespace was used. An empty slot store is new only once; later it has lost
/// its state.
#[tokio::test]
async fn namespace_is_initialized_only_once() {
    let Store::Servers { namespace, engine, .. } = fresh().await else { return };
    ensure(&engine).await;
    let session = engine.slots.open("first").await.unwrap();
    let first = acquire(&engine, &session, &request()).await;
    assert!(matches!(first, Admission::Granted(_)), "a new namespace must grant at once: {first:?}");

    namespace.forget_slots().await.unwrap();
    let second = namespace.open().await;
    let opened = Instant::now();
    ensure(&second).await;
    let session = second.slots.open("second").await.unwrap();
    let waiting = request();
    let answer = acquire(&second, &session, &waiting).await;
    assert_eq!(answer, Admission::Queued, "the slot may be held by a lease that was lost");
    let granted =
        eventually_async("the recovery grace period is over", Duration::from_secs(20), async || {
            let reply = second.slots.heartbeat(&session, Vec::new(), vec![waiting.clone()]).await.unwrap();
            (!reply.granted.is_empty()).then_some(reply.granted)
        })
        .await
        .unwrap();
    assert_eq!(granted.len(), 1);
    assert!(opened.elapsed() >= timing().ttl, "granted after {:?}", opened.elapsed());
}
