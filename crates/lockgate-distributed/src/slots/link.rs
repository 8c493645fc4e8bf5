//! The way to the store: one connection for all sessions of a process, made again whenever it is lost.
//!
//! It must never run on a caller's runtime: it has a thread of its own, so that a job that blocks its threads stops
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

use super::call::Head;
use super::failure::engine_error;
use super::live::Live;
use super::notifications::Board;
use super::options::RedisOptions;

/// The first and the longest pause before a lost connection is tried again; the pause doubles between them.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// How the connection stands.
pub(super) enum State {
    Up(Live),
    Down(RedisError),
}

/// The way to the store. Its connection ends with it.
pub(crate) struct Link {
    pub(super) head: Head,
    /// The pool that was asked for last: what is released next is likely to be of it.
    pub(super) likely: Mutex<String>,
    /// How long backend work on a pool may outlive this process, in ms. Announced with each heartbeat, so that a store that
    /// has lost its state knows how long draining leases could have lasted.
    drains: Mutex<BTreeMap<PoolName, i64>>,
    pub(super) response: Duration,
    pub(super) board: Arc<Board>,
    pub(super) state: watch::Receiver<State>,
    /// Rung by whoever doubts the connection.
    pub(super) doubt: Arc<Notify>,
    _alive: DropGuard,
}

impl Link {
    pub(super) async fn open(options: &RedisOptions) -> Result<Self, EngineError> {
        let doing = "connecting to the slot store";
        let client = client(options).map_err(|error| engine_error(doing, error))?;
        let board = Arc::new(Board::new(&options.namespace));
        let (doubt, alive) = (Arc::new(Notify::new()), CancellationToken::new());
        let (report, state) = watch::channel(State::Down(never_connected()));
        let keeper = Keeper {
            client,
            response: options.response_timeout,
            board: Arc::clone(&board),
            doubt: Arc::clone(&doubt),
            broken: Arc::new(Notify::new()),
            report,
        };
        let (first, connected) = oneshot::channel();
        keeper.on_own_thread(alive.clone(), first)?;
        match connected.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(engine_error(doing, error)),
            Err(_) => return Err(engine_error(doing, never_connected())),
        }
        Ok(Self {
            head: Head::new(&options.namespace, &options.timing, board.channel_of(None)),
            likely: Mutex::default(),
            drains: Mutex::default(),
            response: options.response_timeout,
            board,
            state,
            doubt,
            _alive: alive.drop_guard(),
        })
    }
}

impl Link {
    /// Notes that backend work on a pool may outlive this process for `longest` ms.
    pub(super) fn may_drain(&self, pool: &PoolName, longest: i64) {
        if longest <= 0 {
            return;
        }
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        match drains.get_mut(pool) {
            Some(known) => *known = longest.max(*known),
            None => drop(drains.insert(pool.clone(), longest)),
        }
    }

    /// The longest drains that this process has named, by pool.
    pub(super) fn drains(&self) -> BTreeMap<PoolName, i64> {
        self.drains.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn client(options: &RedisOptions) -> RedisResult<Client> {
    // For `rediss://`. Whoever installed one before keeps it.
    rustls::crypto::ring::default_provider().install_default().ok();
    let info = options.url.expose_secret().into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info)
}

fn never_connected() -> RedisError {
    RedisError::from((ErrorKind::Io, "not connected yet"))
}

/// Keeps the connection up.
struct Keeper {
    client: Client,
    response: Duration,
    board: Arc<Board>,
    doubt: Arc<Notify>,
    broken: Arc<Notify>,
    report: watch::Sender<State>,
}

impl Keeper {
    fn on_own_thread(
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
            runtime.block_on(alive.run_until_cancelled(self.keep(first)));
            // Not to wait for a connection that hangs.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name(String::from("lockgate-redis")).spawn(run).map_err(failed)?;
        Ok(())
    }

    async fn keep(self, first: oneshot::Sender<RedisResult<()>>) {
        let mut first = Some(first);
        let mut pause = PAUSE[0];
        loop {
            match Live::open(&self.client, self.response, &self.board, &self.broken).await {
                Ok(live) => {
                    pause = PAUSE[0];
                    self.report.send_replace(State::Up(live.clone()));
                    if let Some(first) = first.take() {
                        drop(first.send(Ok(())));
                    } else {
                        tracing::info!("the slot store is connected again");
                    }
                    self.until_broken(&live).await;
                    // Nobody may be taken for a listener who does not listen.
                    self.board.nobody_listens();
                    tracing::warn!("the connection to the slot store is lost; connecting again");
                    let lost = RedisError::from((ErrorKind::Io, "the connection is lost"));
                    self.report.send_replace(State::Down(lost));
                }
                Err(error) => {
                    if let Some(first) = first.take() {
                        drop(first.send(Err(error)));
                        return;
                    }
                    tracing::debug!(%error, "the slot store is not connected yet");
                    self.report.send_replace(State::Down(error));
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = pause.saturating_mul(2).min(PAUSE[1]);
        }
    }

    /// Returns when the connection is not to be used any more.
    async fn until_broken(&self, live: &Live) {
        loop {
            tokio::select! {
                () = self.broken.notified() => return,
                // A slow server is not a lost one: it is asked before the connection is given up.
                () = self.doubt.notified() => if !live.is_alive().await { return },
            }
        }
    }
}
