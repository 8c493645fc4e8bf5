//! A namespace of one test on a Redis. A test that breaks its server starts a private one, never the shared
//! one.

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

/// The name of the tests' limit.
pub(crate) const LIMIT: &str = "shared";

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
        let redis = servers::available().unwrap().then(|| Redis::start().unwrap())?;
        Some(Self { url: redis.url(), namespace: "test".to_owned(), private: Some(redis) })
    }

    /// Returns the private server.
    pub(crate) fn redis(&mut self) -> &mut Redis {
        self.private.as_mut().expect("the shared server must not be broken")
    }

    /// Connects a process to the limits.
    pub(crate) async fn token_store(&self) -> RedisTokenStore {
        let options = RedisOptions::new(self.url.as_str(), self.namespace.as_str());
        RedisTokenStore::sharing_connection(&RedisSlots::connect(options).await.unwrap(), &self.namespace)
    }

    /// Connects to an initialized namespace: buckets begin full.
    pub(crate) async fn initialized(&self) -> RedisTokenStore {
        let tokens = self.token_store().await;
        assert!(tokens.initialize().await.unwrap());
        tokens
    }

    /// Makes the server's clock look as if it had leapt by this many seconds since the limit's last call.
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
        assert_eq!(moved, 1, "the limit does not exist yet");
    }
}

/// Acquires as many tokens as available are, up to `most`, to be spent at once.
pub(crate) async fn acquire(
    tokens: &RedisTokenStore,
    quota: Quota,
    max_tokens: u32,
) -> Result<u32, StoreError> {
    let request = AcquireRequest {
        quota,
        is_configured: true,
        min_tokens: 1,
        max_tokens,
        lifetime: Duration::ZERO,
        previous: None,
    };
    Ok(match tokens.acquire(LIMIT, request).await? {
        Acquired::Batch { tokens, .. } => tokens,
        Acquired::Insufficient { .. } | Acquired::NoLimit => 0,
    })
}
