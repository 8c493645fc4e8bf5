//! A namespace of the test's own on a Redis, and what the tests look up in it. It must never break the shared server:
//! a test that does, takes a private one.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use lockgate_distributed::{RedisOptions, RedisSlots};
use redis::aio::MultiplexedConnection;
use support::servers::{self, Redis};
use support::wait::eventually_async;
use uuid::Uuid;

/// Longer than anything takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn timing() -> SlotTiming {
    SlotTiming {
        ttl: Duration::from_millis(900),
        heartbeat: Duration::from_millis(150),
        clock_cap: Duration::from_millis(250),
        margin: Duration::from_millis(50),
    }
}

pub(crate) struct Server {
    url: String,
    pub(crate) namespace: String,
    private: Option<Redis>,
}

impl Server {
    /// A new namespace on the shared server; `None`, said aloud: there are no servers on this machine.
    pub(crate) fn shared() -> Option<Self> {
        let shared = servers::shared().unwrap()?;
        let namespace = Uuid::now_v7().simple().to_string();
        Some(Self { url: shared.redis_url().to_owned(), namespace, private: None })
    }

    /// A server to break, with nothing in it.
    pub(crate) fn private() -> Option<Self> {
        Self::private_with(&[])
    }

    /// One with more settings.
    pub(crate) fn private_with(more: &[(&str, &str)]) -> Option<Self> {
        let redis = servers::available().unwrap().then(|| Redis::start_with(more).unwrap())?;
        Some(Self { url: redis.url(), namespace: "test".to_owned(), private: Some(redis) })
    }

    /// What only a private server suffers.
    pub(crate) fn redis(&mut self) -> &mut Redis {
        self.private.as_mut().expect("the shared server is not broken")
    }

    /// Makes it a replica of `leader`, and waits until it has all of it.
    pub(crate) async fn follow(&self, leader: &Self) {
        let mut redis = self.connect().await;
        let port = leader.private.as_ref().unwrap().port();
        redis::cmd("REPLICAOF").arg("127.0.0.1").arg(port).query_async::<()>(&mut redis).await.unwrap();
        eventually("the replica is in step", async || {
            let info: String = redis::cmd("INFO").arg("replication").query_async(&mut redis).await.unwrap();
            info.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    /// Ends its being a replica.
    pub(crate) async fn lead(&self) {
        let mut redis = self.connect().await;
        redis::cmd("REPLICAOF").arg("NO").arg("ONE").query_async::<()>(&mut redis).await.unwrap();
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions { timing: timing(), ..RedisOptions::new(self.url.as_str(), self.namespace.as_str()) }
    }

    pub(crate) async fn slots(&self) -> RedisSlots {
        RedisSlots::connect(self.options()).await.unwrap()
    }

    /// Slots of a namespace that is known to be new: nothing needs to be learned.
    pub(crate) async fn founded(&self) -> RedisSlots {
        let slots = self.slots().await;
        assert!(slots.initialize().await.unwrap());
        slots
    }

    /// The same with the default times: sessions that live through many calls without a heartbeat.
    pub(crate) async fn founded_for_long(&self) -> RedisSlots {
        let options = RedisOptions::new(self.url(), self.namespace.as_str());
        let slots = RedisSlots::connect(options).await.unwrap();
        assert!(slots.initialize().await.unwrap());
        slots
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{lockgate:{}}}:{name}", self.namespace)
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// Looks again and again until `look` gives something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_async(what, PATIENCE, look).await.unwrap()
}
