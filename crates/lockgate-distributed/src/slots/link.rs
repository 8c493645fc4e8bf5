//! The link to the slot store: one connection for all sessions of a process, opened again whenever it is
//! lost.
//!
//! It runs on a thread of its own, never on a caller's runtime, so that a job that blocks its threads stops
//! neither heartbeats nor pushes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockgate_core::PoolName;
use lockgate_core::error::EngineError;
use redis::io::tcp::TcpSettings;
use redis::{Client, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError, RedisResult};
use secrecy::ExposeSecret;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::call::CommonArgs;
use super::connection::Connection;
use super::failure::engine_error;
use super::notifications::Listeners;
use super::options::RedisOptions;

/// First and longest delay before a reconnect. The delay doubles in between.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// The state of the connection.
pub(super) enum State {
    Up(Connection),
    Down(RedisError),
}

/// The link to the store. Dropping it closes the connection.
pub(crate) struct Link {
    pub(super) common: CommonArgs,
    /// The pool of the latest request. The next releases are probably about it as well.
    pub(super) likely: Mutex<String>,
    /// How long backend work on a pool may outlive this process, in ms. Each heartbeat announces it, so that
    /// a store that lost its state knows how long draining leases could have lasted.
    drains: Mutex<BTreeMap<PoolName, i64>>,
    pub(super) response: Duration,
    pub(super) listeners: Arc<Listeners>,
    pub(super) state: watch::Receiver<State>,
    /// Notified after a call that failed in a way that makes the connection suspect.
    pub(super) suspect: Arc<Notify>,
    _alive: DropGuard,
}

impl Link {
    pub(super) async fn open(options: &RedisOptions) -> Result<Self, EngineError> {
        let doing = "connecting to the slot store";
        let client = client(options).map_err(|error| engine_error(doing, error))?;
        let listeners = Arc::new(Listeners::new(&options.namespace));
        let (suspect, alive) = (Arc::new(Notify::new()), CancellationToken::new());
        let (report, state) = watch::channel(State::Down(never_connected()));
        let reconnector = Reconnector {
            client,
            response: options.response_timeout,
            listeners: Arc::clone(&listeners),
            suspect: Arc::clone(&suspect),
            broken: Arc::new(Notify::new()),
            report,
        };
        let (first, connected) = oneshot::channel();
        reconnector.spawn(alive.clone(), first)?;
        match connected.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(engine_error(doing, error)),
            Err(_) => return Err(engine_error(doing, never_connected())),
        }
        Ok(Self {
            common: CommonArgs::new(&options.namespace, &options.timing, listeners.channel_of(None)),
            likely: Mutex::default(),
            drains: Mutex::default(),
            response: options.response_timeout,
            listeners,
            state,
            suspect,
            _alive: alive.drop_guard(),
        })
    }
}

impl Link {
    /// Records that backend work on a pool may outlive this process by `longest` ms.
    pub(super) fn note_drain(&self, pool: &PoolName, longest: i64) {
        if longest <= 0 {
            return;
        }
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        match drains.get_mut(pool) {
            Some(known) => *known = longest.max(*known),
            None => drop(drains.insert(pool.clone(), longest)),
        }
    }

    /// Returns the longest drain of each pool that this process has used, in ms.
    pub(super) fn drains(&self) -> BTreeMap<PoolName, i64> {
        self.drains.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn client(options: &RedisOptions) -> RedisResult<Client> {
    // For `rediss://`. A provider that was installed before stays.
    rustls::crypto::ring::default_provider().install_default().ok();
    let info = options.url.expose_secret().into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info)
}

fn never_connected() -> RedisError {
    RedisError::from((ErrorKind::Io, "not connected yet"))
}

/// Opens the connection, and opens it again when it breaks.
struct Reconnector {
    client: Client,
    response: Duration,
    listeners: Arc<Listeners>,
    suspect: Arc<Notify>,
    broken: Arc<Notify>,
    report: watch::Sender<State>,
}

impl Reconnector {
    fn spawn(
        self,
        alive: CancellationToken,
        first: oneshot::Sender<RedisResult<()>>,
    ) -> Result<(), EngineError> {
        let failed = |source: std::io::Error| EngineError::Failed {
            doing: String::from("starting the thread of the slot store's connection"),
            source: Box::new(source),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let run = move || {
            runtime.block_on(alive.run_until_cancelled(self.run(first)));
            // Do not wait for a connection that hangs.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name(String::from("lockgate-redis")).spawn(run).map_err(failed)?;
        Ok(())
    }

    async fn run(self, first: oneshot::Sender<RedisResult<()>>) {
        let mut first = Some(first);
        let mut pause = PAUSE[0];
        loop {
            match Connection::open(&self.client, self.response, &self.listeners, &self.broken).await {
                Ok(connection) => {
                    pause = PAUSE[0];
                    self.report.send_replace(State::Up(connection.clone()));
                    if let Some(first) = first.take() {
                        drop(first.send(Ok(())));
                    } else {
                        tracing::info!("slot store connected again");
                    }
                    self.until_broken(&connection).await;
                    // A session that does not listen must not count as a listener, since the store grants to
                    // listeners.
                    self.listeners.nobody_listens();
                    tracing::warn!("slot store connection lost, reconnecting");
                    let lost = RedisError::from((ErrorKind::Io, "the connection was lost"));
                    self.report.send_replace(State::Down(lost));
                }
                Err(error) => {
                    if let Some(first) = first.take() {
                        drop(first.send(Err(error)));
                        return;
                    }
                    tracing::debug!(%error, "slot store unreachable, retrying");
                    self.report.send_replace(State::Down(error));
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = pause.saturating_mul(2).min(PAUSE[1]);
        }
    }

    /// Returns when the connection is unusable.
    async fn until_broken(&self, connection: &Connection) {
        loop {
            tokio::select! {
                () = self.broken.notified() => return,
                // A slow server is not a lost one, so a ping decides.
                () = self.suspect.notified() => if !connection.is_alive().await { return },
            }
        }
    }
}
