//! A namespace of the test's own on a Redis. It must never break the shared server: a test that does, takes a private one.

use std::time::Duration;

use lockgate_distributed::{RedisOptions, RedisSlots, RedisTokenStore};
use lockgate_limits::{AcquireRequest, Acquired, Quota, StoreError, TokenStore};
use support::servers::{self, Redis};
use uuid::Uuid;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) namespace: String,
    private: Option<Redis>,
}

/// The limit of the tests.
pub(crate) const LIMIT: &str = "shared";

impl Server {
    /// A new namespace on the shared server; `None`, said aloud: there are no servers on this machine.
    pub(crate) fn shared() -> Option<Self> {
        let shared = servers::shared().unwrap()?;
        let namespace = Uuid::now_v7().simple().to_string();
        Some(Self { url: shared.redis_url().to_owned(), namespace, private: None })
    }

    /// A server to break, with nothing in it.
    pub(crate) fn private() -> Option<Self> {
        let redis = servers::available().unwrap().then(|| Redis::start().unwrap())?;
        Some(Self { url: redis.url(), namespace: "test".to_owned(), private: Some(redis) })
    }

    /// What only a private server suffers.
    pub(crate) fn redis(&mut self) -> &mut Redis {
        self.private.as_mut().expect("the shared server is not broken")
    }

    /// One process's way to the limits.
    pub(crate) async fn chunks(&self) -> RedisTokenStore {
        let options = RedisOptions::new(self.url.as_str(), self.namespace.as_str());
        RedisTokenStore::beside(&RedisSlots::connect(options).await.unwrap(), &self.namespace)
    }

    /// The same in a namespace that is known to be new: buckets begin full.
    pub(crate) async fn founded(&self) -> RedisTokenStore {
        let chunks = self.chunks().await;
        assert!(chunks.found().await.unwrap());
        chunks
    }

    /// As if the server's clock had leapt by so many seconds since the limit's last call.
    pub(crate) async fn leap(&self, seconds: i64) {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let moved: i64 = redis::cmd("EVAL")
            .arg(include_str!("leap.lua"))
            .arg(1)
            .arg(format!("{{lockgate:{}}}:rates", self.namespace))
            .arg(LIMIT)
            .arg(seconds)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(moved, 1, "there is no limit yet");
    }
}

/// Draws as many tokens as there are, up to `most`, to be spent at once.
pub(crate) async fn take(chunks: &RedisTokenStore, quota: Quota, most: u32) -> Result<u32, StoreError> {
    let request = AcquireRequest {
        quota,
        is_configured: true,
        min_tokens: 1,
        max_tokens: most,
        lifetime: Duration::ZERO,
        previous: None,
    };
    Ok(match chunks.acquire(LIMIT, request).await? {
        Acquired::Batch { tokens, .. } => tokens,
        Acquired::Insufficient { .. } | Acquired::NoLimit => 0,
    })
}
