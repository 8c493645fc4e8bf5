//! A private Redis for one test, and what the tests look up in it. It must never touch a server that it did not start.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use lockgate_core::slots::Slots;
use lockgate_core::timing::SlotTiming;
use lockgate_distributed::{RedisOptions, RedisSlots};
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const NAMESPACE: &str = "test";

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
    port: u16,
    folder: TempDir,
    child: Mutex<Option<Child>>,
    more: Vec<String>,
}

impl Server {
    /// Starts a server with nothing in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with more settings.
    pub(crate) async fn start_with(more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let more = more.iter().map(ToString::to_string).collect();
        let server = Self { port, folder: tempfile::tempdir().unwrap(), child: Mutex::new(None), more };
        server.restart().await;
        server
    }

    /// Ends it and starts it again at the same address: empty, unless it saves.
    pub(crate) async fn restart(&self) {
        self.stop();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "local"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.more)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        eventually("redis-server answers", async || self.try_connect().await).await;
    }

    /// Ends it as a crash does.
    pub(crate) fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Makes it a replica of `leader`, and waits until it has all of it.
    pub(crate) async fn follow(&self, leader: &Self) {
        let mut redis = self.connect().await;
        let port = leader.port.to_string();
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

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions { timing: timing(), ..RedisOptions::new(self.url(), NAMESPACE) }
    }

    pub(crate) async fn slots(&self) -> RedisSlots {
        RedisSlots::connect(self.options()).await.unwrap()
    }

    /// Slots of a store that has learned already that nobody held anything: it is told so, not waited for.
    pub(crate) async fn learned(&self) -> RedisSlots {
        let slots = self.slots().await;
        slots.inspect(None).await.unwrap();
        redis::cmd("EVAL")
            .arg(include_str!("learned.lua"))
            .arg(1)
            .arg(key("state"))
            .query_async::<()>(&mut self.connect().await)
            .await
            .unwrap();
        slots
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> Option<MultiplexedConnection> {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        match redis::cmd("PING").query_async::<redis::Value>(&mut connection).await {
            Err(error) if error.code() != Some("NOAUTH") => None,
            _ => Some(connection),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn key(name: &str) -> String {
    format!("{{lockgate:{NAMESPACE}}}:{name}")
}

/// Looks again and again until `look` gives something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await; // eventually
    }
}
