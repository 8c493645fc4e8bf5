//! Options of the slot store. `SecretString` keeps the password out of logs.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use secrecy::SecretString;

/// Where the slot store is, and how this process uses it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// URL with user, password and database: `redis://`, or `rediss://` for TLS.
    pub url: SecretString,
    /// Namespace of this application. Its keys begin with `{lockgate:<namespace>}`, so equal pool names in
    /// two namespaces are two pools.
    pub namespace: String,
    /// Times of leases and heartbeats. Must be the same in every process of the namespace. Default: see
    /// [`SlotTiming`].
    pub timing: SlotTiming,
    /// The longest time that one call takes, including a reconnect. Default 1 s.
    pub response_timeout: Duration,
}

impl RedisOptions {
    /// Creates options for the store at `url`, with defaults for everything else.
    pub fn new(url: impl Into<SecretString>, namespace: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: namespace.into(),
            timing: SlotTiming::default(),
            response_timeout: Duration::from_secs(1),
        }
    }
}
