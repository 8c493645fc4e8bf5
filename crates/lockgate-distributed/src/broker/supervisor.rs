//! Keeps one connection up: opens it, pings the server, closes it when it fails, and opens the next one,
//! forever.
//!
//! The driver does not notice every dead server: a frozen server, or one behind a network failure, answers
//! nothing and reports nothing. So every wait here has a deadline of its own.
//!
//! Each connection, called a generation, has its own runtime on the supervisor's thread. The driver leaves a
//! thread behind when a handshake never ends; that thread ends with its runtime.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use lapin::options::BasicQosOptions;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event};
use lockgate_core::error::chain;
use tokio::net::lookup_host;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{LiveConnection, Role, State};
use super::telemetry;

/// Timeout of a handshake, including TCP and TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// First delay before a reconnect. It doubles up to [`MAX_BACKOFF`]. Short, because most losses are a restart
/// or a single closed connection.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// Longest delay before a reconnect. Together with the handshake, work resumes within ten seconds after the
/// server is back. A hundred processes that connect every few seconds are no load for it.
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// A connection that lived this long was stable: the next delay is the shortest again.
const STABLE: Duration = Duration::from_secs(30);
/// How often the server is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a ping. Longer than a busy server stalls, shorter than two heartbeats.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to connect, and the name and role of the connection.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) uri: AMQPUri,
    pub(super) process: String,
    pub(super) role: Role,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URI, which contains the password.
        f.debug_struct("Target").field("role", &self.role).finish_non_exhaustive()
    }
}

/// How a generation ended.
enum GenerationEnd {
    /// The connection is no longer needed.
    Stopped,
    Lost(String),
}

pub(super) struct Supervisor {
    target: Target,
    report: watch::Sender<State>,
    end: CancellationToken,
    generation: u64,
    backoff: Duration,
    /// Reason of the last warning. The same reason is logged as a warning only once.
    last_warning: String,
}

impl Supervisor {
    pub(super) fn start(
        target: Target,
        report: watch::Sender<State>,
        end: CancellationToken,
    ) -> io::Result<()> {
        let waiting = runtime()?;
        let name = format!("lockgate-{}", target.role.as_str());
        let supervisor =
            Self { target, report, end, generation: 0, backoff: MIN_BACKOFF, last_warning: String::new() };
        let thread = std::thread::Builder::new().name(name);
        thread.spawn(move || supervisor.run(&waiting)).map(drop)
    }

    /// Runs generations until the end. `waiting` is the runtime of the delays between them.
    fn run(mut self, waiting: &Runtime) {
        while !self.end.is_cancelled() {
            self.generation = self.generation.saturating_add(1);
            let GenerationEnd::Lost(why) = self.run_generation() else { break };
            telemetry::connected(self.target.role.as_str(), false);
            self.report.send_replace(State::Down(why.as_str().into()));
            self.warn(why);
            let wait = self.backoff.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
            let end = self.end.clone();
            waiting.block_on(async move { end.run_until_cancelled(tokio::time::sleep(wait)).await });
        }
    }

    fn warn(&mut self, why: String) {
        let connection = self.target.role.as_str();
        if why == self.last_warning {
            tracing::debug!(connection, why, "broker unreachable, retrying");
        } else {
            tracing::warn!(connection, why, "broker unreachable, retrying");
            self.last_warning = why;
        }
    }

    fn run_generation(&mut self) -> GenerationEnd {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                return GenerationEnd::Lost(format!("cannot create a runtime for a connection: {error}"));
            }
        };
        let ended = runtime.block_on(self.run_connection());
        // In the background, because a name that is being resolved must not delay the next attempt.
        runtime.shutdown_background();
        ended
    }

    async fn run_connection(&mut self) -> GenerationEnd {
        // The attempt is not cancelled when the connection is no longer needed: the driver panics when its
        // runtime ends while it connects, and this thread can wait.
        let (connection, channel) = match timeout(HANDSHAKE, connect(&self.target)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return GenerationEnd::Lost(chain(&error)),
            Err(_) => {
                return GenerationEnd::Lost(format!(
                    "the server did not complete the handshake within {HANDSHAKE:?}"
                ));
            }
        };
        if self.end.is_cancelled() {
            close(&connection).await;
            return GenerationEnd::Stopped;
        }
        let connected_at = Instant::now();
        let events = connection.events_listener();
        let (live, mut aborts) = LiveConnection::new(connection, self.generation);
        let live = Arc::new(live);
        self.report_connected(&live);
        let ended = tokio::select! {
            () = self.end.cancelled() => GenerationEnd::Stopped,
            why = listen(&live, self.target.role, events) => GenerationEnd::Lost(why),
            why = ping_until_dead(&live, &channel) => GenerationEnd::Lost(why),
            Some(why) = aborts.recv() => GenerationEnd::Lost(why),
        };
        // First stop handing the connection out, then close it.
        self.report.send_replace(State::Down("the connection was just lost".into()));
        live.ended.cancel();
        if connected_at.elapsed() >= STABLE {
            self.backoff = MIN_BACKOFF;
        }
        if self.target.role == Role::Publish {
            telemetry::blocked(false);
        }
        // A server that is alive requeues at once what was not acknowledged. The channel is dropped only
        // afterwards, because the driver reports its end as an error while the connection is being closed.
        close(&live.connection).await;
        drop(channel);
        ended
    }

    fn report_connected(&mut self, live: &Arc<LiveConnection>) {
        let connection = self.target.role.as_str();
        if self.generation > 1 {
            telemetry::reconnected(connection);
        }
        telemetry::connected(connection, true);
        // The first success is logged at debug, because it would be the first line of every command's output.
        if self.generation > 1 {
            tracing::info!(connection, generation = self.generation, "reconnected to the broker");
        } else {
            tracing::debug!(connection, "connected to the broker");
        }
        self.last_warning.clear();
        self.report.send_replace(State::Up(Arc::clone(live)));
    }
}

async fn close(connection: &Connection) {
    drop(timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await);
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Connects, and opens a channel for pings.
async fn connect(target: &Target) -> lapin::Result<(Connection, Channel)> {
    // The driver panics when its runtime ends while it resolves a name, so an unresponsive name server
    // must be noticed
    // before.
    let authority = &target.uri.authority;
    drop(lookup_host((authority.host.as_str(), authority.port)).await?);
    let name = format!("{} {}", target.process, target.role.as_str());
    // The driver's own recovery stays off: it leaves publishers hanging, and gives consumers no sign that
    // their deliveries have been requeued.
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "lockgate".into());
    let connection = Connection::connect_uri(target.uri.clone(), properties).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// Handles events of the driver, until it reports the end of the connection.
async fn listen(live: &LiveConnection, role: Role, events: impl Stream<Item = Event>) -> String {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                telemetry::blocked(true);
                tracing::warn!(
                    connection = role.as_str(),
                    reason,
                    "broker accepts no messages, an alarm is on"
                );
            }
            Event::ConnectionUnblocked => {
                telemetry::blocked(false);
                tracing::info!(connection = role.as_str(), "broker accepts messages again");
            }
            // Errors of a single channel arrive here too. The user of that channel handles them.
            Event::Error(error) if !live.connection.status().connected() => return chain(&error),
            _ => {}
        }
    }
    "the driver closed the connection".to_owned()
}

/// Pings the server, until it does not answer in time.
async fn ping_until_dead(live: &LiveConnection, channel: &Channel) -> String {
    let mut pings = interval(PING_INTERVAL);
    loop {
        tokio::select! {
            _ = pings.tick() => {}
            () = live.suspect.notified() => {}
        }
        if let Err(why) = ping(live, channel).await {
            return why;
        }
    }
}

/// Pings the server. While an alarm is on, the server reads nothing and cannot answer; then only heartbeats
/// show that it is alive.
async fn ping(live: &LiveConnection, channel: &Channel) -> Result<(), String> {
    if live.is_blocked() {
        return Ok(());
    }
    // The cheapest request with a reply. It changes nothing on this channel.
    match timeout(PING_TIMEOUT, channel.basic_qos(1, BasicQosOptions::default())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) if live.is_blocked() => Ok(()),
        Err(_) => Err(format!("the server did not answer a ping within {PING_TIMEOUT:?}")),
    }
}
