//! What is needed to reach the slot store. It must never show its password.

use std::time::Duration;

use lockgate_core::timing::SlotTiming;
use secrecy::SecretString;

/// Where the slot store is, and how it is used.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://` or, with TLS, `rediss://`, with user, password and database as usual.
    pub url: SecretString,
    /// What this application's keys begin with, `{lockgate:<namespace>}`: pools of one name in two namespaces are two.
    pub namespace: String,
    /// The times of leases; the same in every process of the namespace.
    pub timing: SlotTiming,
    /// The longest that one call takes, connecting again included. Default 1 s.
    pub response_timeout: Duration,
}

impl RedisOptions {
    /// The store at `url`, with the default times.
    pub fn new(url: impl Into<SecretString>, namespace: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: namespace.into(),
            timing: SlotTiming::default(),
            response_timeout: Duration::from_secs(1),
        }
    }
}
