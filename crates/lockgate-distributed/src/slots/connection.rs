//! One connection, from the handshake to its loss: loads the scripts, routes pushes, and knows the server's
//! identity.
//!
//! A connection is not reused after its server disconnected, because another server may answer at the same
//! address.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::Notify;

use super::notifications::Listeners;
use super::script::Script;

/// Timeout of opening a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// An open connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) multiplexed: MultiplexedConnection,
    identity: Arc<Mutex<(String, Freshness)>>,
}

/// How fresh the known identity of the server is. The numbers are arguments of the scripts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It was read some time before the call.
    #[default]
    Cached = 0,
    /// It was read for this call.
    Fresh = 1,
    /// It was read for this call, and the server has never copied its data from another one under this
    /// identity. As long as it is the same process, it still has everything that was written to it.
    FreshWithOwnData = 2,
}

impl Connection {
    pub(super) async fn open(
        client: &Client,
        response: Duration,
        listeners: &Arc<Listeners>,
        broken: &Arc<Notify>,
    ) -> RedisResult<Self> {
        let (routes, lost) = (Arc::clone(listeners), Arc::clone(broken));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response))
            .set_push_sender(move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => routes.receive_push(&push.data),
                    PushKind::Disconnection => lost.notify_one(),
                    _ => {}
                }
                Ok::<(), std::convert::Infallible>(())
            });
        let multiplexed = client.get_multiplexed_async_connection_with_config(&config).await?;
        let connection = Self { multiplexed, identity: Arc::default() };
        let info = connection.read_identity().await?;
        check(&info)?;
        for script in Script::ALL {
            connection.load(script.text()).await?;
        }
        connection.subscribe(&listeners.channels()).await?;
        listeners.all_listen();
        Ok(connection)
    }

    /// Returns the server's identity as it was last read, and how fresh it is.
    pub(super) fn identity(&self) -> (String, Freshness) {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the next call read the identity again, because the server may copy another one's data under this
    /// connection.
    pub(super) fn forget_identity(&self) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }

    /// Reads the server's identity: this start of its process, and the history of its data. Returns its
    /// `INFO`.
    pub(super) async fn read_identity(&self) -> RedisResult<String> {
        let info: String = redis::cmd("INFO").query_async(&mut self.multiplexed.clone()).await?;
        // Half of each id is enough to tell servers apart. It is sent with every call, so it is kept short.
        let half = |name| field(&info, name).get(..20).unwrap_or(field(&info, name));
        let identity = format!("{}:{}", half("run_id"), half("master_replid"));
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = (identity, data_origin(&info));
        Ok(info)
    }

    pub(super) async fn load(&self, script: &'static redis::Script) -> RedisResult<()> {
        let load = script.prepare_invoke();
        load.load_async(&mut self.multiplexed.clone()).await.map(drop)
    }

    pub(super) async fn subscribe(&self, channels: &[String]) -> RedisResult<()> {
        if channels.is_empty() {
            return Ok(());
        }
        self.multiplexed.clone().subscribe(channels).await
    }

    pub(super) async fn unsubscribe(&self, channel: &str) -> RedisResult<()> {
        self.multiplexed.clone().unsubscribe(channel).await
    }

    pub(super) async fn is_alive(&self) -> bool {
        redis::cmd("PING").query_async::<Value>(&mut self.multiplexed.clone()).await.is_ok()
    }
}

/// Derives where the server's data came from. A server that was a replica keeps the id of the history that it
/// copied as its second replication id: its data may be older than what was granted. When a first replica or
/// a backup attaches to a server, the server gets a new replication id without a second one.
fn data_origin(info: &str) -> Freshness {
    let second = field(info, "master_replid2");
    let own =
        field(info, "role") == "master" && !second.is_empty() && second.bytes().all(|digit| digit == b'0');
    if own { Freshness::FreshWithOwnData } else { Freshness::Fresh }
}

fn field<'i>(info: &'i str, name: &str) -> &'i str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
}

/// Checks that the server can hold slots.
fn check(info: &str) -> RedisResult<()> {
    let version = field(info, "redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        let found = format!("version {version} is too old for the slots; use Redis 7.0 or newer");
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "the server cannot be used", found)));
    }
    let policy = field(info, "maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        tracing::warn!(
            policy,
            "this Redis may evict keys of the slots when its memory is full; set maxmemory-policy to noeviction"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_server_is_refused_with_its_version() {
        assert!(check("redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        let refused = check("redis_version:6.2.1\r\n").unwrap_err();
        assert!(refused.to_string().contains("6.2.1"), "{refused}");
    }

    #[test]
    fn data_of_a_promoted_replica_does_not_count_as_its_own() {
        let none = "0".repeat(40);
        let origin =
            |role: &str, second: &str| data_origin(&format!("role:{role}\r\nmaster_replid2:{second}\r\n"));
        assert_eq!(origin("master", &none), Freshness::FreshWithOwnData);
        assert_eq!(origin("master", &"a1".repeat(20)), Freshness::Fresh);
        assert_eq!(origin("slave", &none), Freshness::Fresh);
        assert_eq!(
            data_origin("role:master\r\n"),
            Freshness::Fresh,
            "a server without a second id was trusted"
        );
    }

    #[test]
    fn field_is_matched_by_its_whole_name() {
        assert_eq!(field("x_run_id:1\r\nrun_id:2\r\n", "run_id"), "2");
        assert_eq!(field("run_id2:1\r\n", "run_id"), "");
    }
}
