//! The distributed engine against the public suite of all engines: the three ports together, on real servers and the
//! real clock.

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

/// The queue of the suite.
const QUEUES: [&str; 1] = ["q"];

/// A namespace of its own on the shared servers; where there are none, which was said aloud, the memory engine stands in.
enum Store {
    Servers { place: Place, engine: Engine, loses: bool },
    Memory(Memory),
}

struct Place {
    shared: &'static Shared,
    database: Arc<OwnDatabase>,
    namespace: String,
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
    /// A new namespace, on a database that others may use too.
    async fn of(shared: Option<&'static Shared>, database: Option<Arc<OwnDatabase>>, loses: bool) -> Self {
        let (Some(shared), Some(database)) = (shared, database) else {
            return Self::Memory(Memory::new(timing()));
        };
        let place = Place { shared, database, namespace: Uuid::now_v7().simple().to_string() };
        let engine = place.open().await;
        Self::Servers { place, engine, loses }
    }
}

impl Place {
    async fn open(&self) -> Engine {
        let options = Options {
            postgres: self.database.to_string().into(),
            amqp: self.shared.amqp_url().into(),
            redis: self.shared.redis_url().into(),
            namespace: self.namespace.clone(),
            timing: timing(),
            process: "test".to_owned(),
        };
        open(options).await.unwrap().engine
    }

    /// As if the clock of the server had been set, for this database alone.
    async fn step_clock(&self, off_by_seconds: i64) {
        let stepped =
            include_str!("servers/step_clock.sql").replace("{seconds}", &off_by_seconds.to_string());
        let mut connection = database::raw(&self.database).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(stepped)).execute(&mut connection).await.unwrap();
    }

    /// As `FLUSHALL` does, for this namespace alone.
    async fn forget_slots(&self) -> redis::RedisResult<()> {
        let mut redis =
            redis::Client::open(self.shared.redis_url())?.get_multiplexed_async_connection().await?;
        let mut forget = redis::cmd("EVAL");
        forget
            .arg(include_str!("servers/forget.lua"))
            .arg(0)
            .arg(format!("{{lockgate:{}}}:*", self.namespace))
            .query_async(&mut redis)
            .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        queues::delete(self.shared.amqp_url(), &format!("{}.", self.namespace), &QUEUES);
        // When this fails, the server is gone, and the keys with it.
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
            Self::Servers { place, .. } => place.open().await,
            Self::Memory(memory) => memory.engine(),
        }
    }

    fn timing(&self) -> SlotTiming {
        timing()
    }

    fn capabilities(&self) -> Capabilities {
        let loses_slots = !matches!(self, Self::Servers { loses: false, .. });
        // A passive declaration tells what is ready, a moment behind, and not what others have unsettled.
        Capabilities { virtual_time: false, counts_unsettled: false, loses_slots, ..Capabilities::all() }
    }

    async fn step_clock(&self, off_by_seconds: i64) {
        if let Self::Servers { place, .. } = self {
            place.step_clock(off_by_seconds).await;
        }
    }

    async fn lose_slots(&self) {
        match self {
            Self::Servers { place, .. } => place.forget_slots().await.unwrap(),
            Self::Memory(memory) => memory.lose_slots(),
        }
    }
}

lockgate_runtime::conformance_suite!(fresh);

/// Against the model; each sequence in a namespace of its own, all on one database, which no slot is asked of.
async fn check(effort: Effort, loses: bool) {
    let shared = support::servers::shared().unwrap();
    let database = shared.map(|shared| Arc::new(OwnDatabase::on(shared)));
    let fresh = async || Store::of(shared, database.clone(), loses).await;
    if let Err(broken) = model::check(effort, fresh).await {
        panic!("{broken}");
    }
}

/// Kept small: a loss, and a ttl that passes, take their time.
#[tokio::test]
async fn the_slots_do_what_the_model_does() {
    check(Effort { sequences: 16, calls: 30, seed: 7 }, true).await;
}

/// Without losses there is time for more: the order has corners that few sequences come to.
#[tokio::test]
async fn the_order_is_that_of_the_model() {
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

async fn ask(engine: &Engine, session: &Session, request: &SlotRequest) -> Admission {
    engine.slots.acquire(session, vec![request.clone()]).await.unwrap().remove(0)
}

async fn ensure(engine: &Engine) {
    let spec = PoolSpec { name: PoolName::new("p").unwrap(), slots: 1, per_tenant: None };
    engine.slots.control(PoolCommand::Ensure(spec)).await.unwrap();
}

/// The ledger does not forget that a namespace was used: an empty slot store is new once, and then it has lost what it had.
#[tokio::test]
async fn a_namespace_is_new_once() {
    let Store::Servers { place, engine, .. } = fresh().await else { return };
    ensure(&engine).await;
    let session = engine.slots.open("first").await.unwrap();
    let first = ask(&engine, &session, &request()).await;
    assert!(matches!(first, Admission::Granted(_)), "nobody can hold anything in a new namespace: {first:?}");

    place.forget_slots().await.unwrap();
    let second = place.open().await;
    let opened = Instant::now();
    ensure(&second).await;
    let session = second.slots.open("second").await.unwrap();
    let waiting = request();
    let answer = ask(&second, &session, &waiting).await;
    assert_eq!(answer, Admission::Queued, "its only slot is held, as far as it can know");
    let granted = eventually_async("it has learned", Duration::from_secs(20), async || {
        let pulse = second.slots.heartbeat(&session, Vec::new(), vec![waiting.clone()]).await.unwrap();
        (!pulse.granted.is_empty()).then_some(pulse.granted)
    })
    .await
    .unwrap();
    assert_eq!(granted.len(), 1);
    assert!(opened.elapsed() >= timing().ttl, "granted after {:?}", opened.elapsed());
}
