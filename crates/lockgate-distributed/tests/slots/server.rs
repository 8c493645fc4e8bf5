//! A namespace of one test on a Redis. A test that breaks its server starts a private one, never the shared
//! one.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use lockgate_distributed::{RedisOptions, RedisSlots};
use redis::aio::MultiplexedConnection;
use support::servers::{self, Redis};
use support::wait::eventually_async;
use uuid::Uuid;

/// Longer than anything takes, also on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

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
    /// Returns a new namespace on the shared server; `None`, with a message, when this machine has no
    /// servers.
    pub(crate) fn shared() -> Option<Self> {
        let shared = servers::shared().unwrap()?;
        let namespace = Uuid::now_v7().simple().to_string();
        Some(Self { url: shared.redis_url().to_owned(), namespace, private: None })
    }

    /// Starts an empty private server, which a test may break.
    pub(crate) fn private() -> Option<Self> {
        Self::private_with(&[])
    }

    /// Starts a private server with additional settings.
    pub(crate) fn private_with(more: &[(&str, &str)]) -> Option<Self> {
        let redis = servers::available().unwrap().then(|| Redis::start_with(more).unwrap())?;
        Some(Self { url: redis.url(), namespace: "test".to_owned(), private: Some(redis) })
    }

    /// Returns the private server.
    pub(crate) fn redis(&mut self) -> &mut Redis {
        self.private.as_mut().expect("the shared server must not be broken")
    }

    /// Makes it a replica of `leader`, and waits until it is synchronized.
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

    /// Promotes the replica to a primary.
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

    /// Returns slots of an initialized namespace: they have no recovery grace period.
    pub(crate) async fn initialized(&self) -> RedisSlots {
        let slots = self.slots().await;
        assert!(slots.initialize().await.unwrap());
        slots
    }

    /// Returns slots of an initialized namespace with the default ttl, so that sessions survive many calls
    /// without a heartbeat.
    pub(crate) async fn initialized_with_long_ttl(&self) -> RedisSlots {
        let options = RedisOptions::new(self.url(), self.namespace.as_str());
        let slots = RedisSlots::connect(options).await.unwrap();
        assert!(slots.initialize().await.unwrap());
        slots
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{{lockgate:{}}}:{name}", self.namespace)
    }

    /// Opens a connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

/// Polls until `poll` returns something.
pub(crate) async fn eventually<T>(what: &str, poll: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_async(what, TIMEOUT, poll).await.unwrap()
}
