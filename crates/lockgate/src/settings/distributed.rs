//! `[distributed]`: the three servers of the distributed engine.
//!
//! Reads no file and checks no address: `config` does that, and only when this engine is chosen.

use std::path::PathBuf;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::SecretUrl;

/// The longest namespace: it is a part of every name of a queue and of every key.
const LONGEST_NAMESPACE: usize = 64;

/// `[distributed]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
pub struct DistributedSettings {
    /// What keeps the queues and slots of these processes apart from those of others on the same servers. The
    /// same in every process that shares a limit.
    #[garde(custom(fit_for_names))]
    pub namespace: String,
    /// The ledger's server, `postgres://USER@HOST:5432/DATABASE`. To another host `sslmode=verify-full` is
    /// the default.
    #[garde(skip)]
    pub postgres: ServerSettings,
    /// The broker's server, `amqps://USER@HOST:5671/VHOST`.
    #[garde(skip)]
    pub amqp: ServerSettings,
    /// The slots' server, `rediss://USER@HOST:6379/0`.
    #[garde(skip)]
    pub redis: ServerSettings,
}

/// `[distributed.SERVER]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerSettings {
    /// The server's address, with user and password. It is shown without the password.
    pub url: Option<SecretUrl>,
    /// A file that holds the address, for a secret that must not be in the environment; in place of `url`.
    pub url_file: Option<PathBuf>,
    /// Whether a password may be sent to another host without TLS. Only where the network itself is trusted.
    pub allow_plaintext: bool,
}

impl Default for DistributedSettings {
    fn default() -> Self {
        let none = ServerSettings::default();
        Self { namespace: String::from("lockgate"), postgres: none.clone(), amqp: none.clone(), redis: none }
    }
}

fn fit_for_names(text: &str, (): &()) -> garde::Result {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=LONGEST_NAMESPACE).contains(&text.len()) && text.chars().all(fits) {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must be 1 to {LONGEST_NAMESPACE} letters, digits, \"-\", \"_\" or \".\", such as \"lockgate\""
    )))
}
