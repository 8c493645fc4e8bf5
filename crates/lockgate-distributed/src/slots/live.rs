//! One connection, from the handshake to its loss: scripts loaded, pushes routed, the server's identity known.
//!
//! It must never be used again after its server went away: another one may answer at the same address.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::Notify;

use super::notifications::Board;
use super::script::Script;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);

/// A connection in use.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    identity: Arc<Mutex<(String, Known)>>,
}

/// How well a server's identity is known. The numbers are what the scripts are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// It was read at some time before the call.
    #[default]
    Before = 0,
    /// It was read for this call.
    Now = 1,
    /// It was read for this call, and the server has never taken its data from another one under this identity: as long as
    /// it is the same process, it still has everything that was written to it.
    NowWithOwnData = 2,
}

impl Live {
    pub(super) async fn open(
        client: &Client,
        response: Duration,
        board: &Arc<Board>,
        broken: &Arc<Notify>,
    ) -> RedisResult<Self> {
        let (routes, lost) = (Arc::clone(board), Arc::clone(broken));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(response))
            .set_push_sender(move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => routes.hear(&push.data),
                    PushKind::Disconnection => lost.notify_one(),
                    _ => {}
                }
                Ok::<(), std::convert::Infallible>(())
            });
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let live = Self { connection, identity: Arc::default() };
        let info = live.read_identity().await?;
        check(&info)?;
        for script in Script::ALL {
            live.load(script.text()).await?;
        }
        live.subscribe(&board.channels()).await?;
        board.all_listen();
        Ok(live)
    }

    /// Who the server was when it was asked last, and how well that was known then.
    pub(super) fn identity(&self) -> (String, Known) {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has the next call read the identity again: the server may take its data from another one, under this connection.
    pub(super) fn forget_identity(&self) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }

    /// Asks the server who it is: this start of it, and the history of its data.
    pub(super) async fn read_identity(&self) -> RedisResult<String> {
        let info: String = redis::cmd("INFO").query_async(&mut self.connection.clone()).await?;
        // Half of each tells them apart, and is told in every call.
        let half = |name| field(&info, name).get(..20).unwrap_or(field(&info, name));
        let identity = format!("{}:{}", half("run_id"), half("master_replid"));
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = (identity, data_origin(&info));
        Ok(info)
    }

    pub(super) async fn load(&self, script: &'static redis::Script) -> RedisResult<()> {
        let load = script.prepare_invoke();
        load.load_async(&mut self.connection.clone()).await.map(drop)
    }

    pub(super) async fn subscribe(&self, channels: &[String]) -> RedisResult<()> {
        if channels.is_empty() {
            return Ok(());
        }
        self.connection.clone().subscribe(channels).await
    }

    pub(super) async fn unsubscribe(&self, channel: &str) -> RedisResult<()> {
        self.connection.clone().unsubscribe(channel).await
    }

    pub(super) async fn is_alive(&self) -> bool {
        redis::cmd("PING").query_async::<Value>(&mut self.connection.clone()).await.is_ok()
    }
}

/// Where the server's data came from. A server that was a replica keeps the id of the history that it copied as its second
/// one: what it has may be older than what was granted. A first replica or a backup that attaches to a server gives it a new
/// replication id without a second one.
fn data_origin(info: &str) -> Known {
    let second = field(info, "master_replid2");
    let own =
        field(info, "role") == "master" && !second.is_empty() && second.bytes().all(|digit| digit == b'0');
    if own { Known::NowWithOwnData } else { Known::Now }
}

fn field<'i>(info: &'i str, name: &str) -> &'i str {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
}

/// Whether slots can live there.
fn check(info: &str) -> RedisResult<()> {
    let version = field(info, "redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        let found = format!("version {version} is too old for the slots; take Redis 7.0 or newer");
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "the server cannot be used", found)));
    }
    let policy = field(info, "maxmemory_policy");
    if !policy.is_empty() && policy != "noeviction" {
        tracing::warn!(
            policy,
            "this Redis may evict the keys of the slots when its memory is full: set maxmemory-policy to noeviction"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_refused_with_its_version() {
        assert!(check("redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\n").is_ok());
        let refused = check("redis_version:6.2.1\r\n").unwrap_err();
        assert!(refused.to_string().contains("6.2.1"), "{refused}");
    }

    #[test]
    fn data_of_a_promoted_replica_is_not_taken_for_its_own() {
        let none = "0".repeat(40);
        let origin =
            |role: &str, second: &str| data_origin(&format!("role:{role}\r\nmaster_replid2:{second}\r\n"));
        assert_eq!(origin("master", &none), Known::NowWithOwnData);
        assert_eq!(origin("master", &"a1".repeat(20)), Known::Now);
        assert_eq!(origin("slave", &none), Known::Now);
        assert_eq!(data_origin("role:master\r\n"), Known::Now, "a server that does not tell is not trusted");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field("x_run_id:1\r\nrun_id:2\r\n", "run_id"), "2");
        assert_eq!(field("run_id2:1\r\n", "run_id"), "");
    }
}
