//! Keeps one connection: makes it, looks after it, gives it up, makes the next one; for ever.
//!
//! It must never trust the driver to notice a dead server: a server that is frozen, or behind a hole in the
//! network, answers nothing and reports nothing. So every wait here has a deadline of our own.
//!
//! Each generation has a runtime of its own on the supervisor's one thread. The driver leaves a thread behind
//! in a handshake that never ends; with its runtime gone, that thread ends too.

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

use super::connection::{Live, Role, State};
use super::telemetry;

/// How long a handshake may take, TCP and TLS included.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The wait before the next attempt, doubled up to [`SLOWEST`]. Most losses are a restart or one closed
/// connection.
const AGAIN: Duration = Duration::from_millis(250);
/// The longest wait: with the handshake, work is back within ten seconds after the server is. A hundred
/// processes that knock every few seconds are no load for it.
const SLOWEST: Duration = Duration::from_secs(5);
/// A connection that lived so long was a good one: the next wait is the shortest again.
const GOOD: Duration = Duration::from_secs(30);
/// How often the server is asked whether it is there.
const LOOK: Duration = Duration::from_secs(5);
/// How long it may take to answer that. Longer than a busy server stalls, shorter than two heartbeats.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whom to call, and as whom.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) uri: AMQPUri,
    pub(super) process: String,
    pub(super) role: Role,
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URI: it has the password.
        f.debug_struct("Dial").field("role", &self.role).finish_non_exhaustive()
    }
}

/// How a generation ended.
enum Ended {
    /// Nobody needs the connection any more.
    Stopped,
    Lost(String),
}

pub(super) struct Supervisor {
    dial: Dial,
    report: watch::Sender<State>,
    end: CancellationToken,
    generation: u64,
    wait: Duration,
    /// What was last complained about: an outage is one line in the log, not one a second.
    complaint: String,
}

impl Supervisor {
    pub(super) fn start(dial: Dial, report: watch::Sender<State>, end: CancellationToken) -> io::Result<()> {
        let waiting = runtime()?;
        let name = format!("lockgate-{}", dial.role.as_str());
        let supervisor = Self { dial, report, end, generation: 0, wait: AGAIN, complaint: String::new() };
        let thread = std::thread::Builder::new().name(name);
        thread.spawn(move || supervisor.run(&waiting)).map(drop)
    }

    /// `waiting` is for the waits between two generations.
    fn run(mut self, waiting: &Runtime) {
        while !self.end.is_cancelled() {
            self.generation = self.generation.saturating_add(1);
            let Ended::Lost(why) = self.generation() else { break };
            telemetry::connected(self.dial.role.as_str(), false);
            self.report.send_replace(State::Down(why.as_str().into()));
            self.complain(why);
            let wait = self.wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.wait = (self.wait * 2).min(SLOWEST);
            let end = self.end.clone();
            waiting.block_on(async move { end.run_until_cancelled(tokio::time::sleep(wait)).await });
        }
    }

    fn complain(&mut self, why: String) {
        let connection = self.dial.role.as_str();
        if why == self.complaint {
            tracing::debug!(connection, why, "no connection to the broker");
        } else {
            tracing::warn!(connection, why, "no connection to the broker; it is tried again for ever");
            self.complaint = why;
        }
    }

    fn generation(&mut self) -> Ended {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return Ended::Lost(format!("no runtime for a connection: {error}")),
        };
        let ended = runtime.block_on(self.live());
        // In the background: a name that is just being resolved must not hold up the next attempt.
        runtime.shutdown_background();
        ended
    }

    async fn live(&mut self) -> Ended {
        // Not broken off when nobody needs the connection any more: the driver panics when its runtime ends
        // while it connects. This thread can wait until the attempt ends.
        let (connection, channel) = match timeout(HANDSHAKE, dial(&self.dial)).await {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => return Ended::Lost(chain(&error)),
            Err(_) => {
                return Ended::Lost(format!(
                    "the server did not complete the handshake within {HANDSHAKE:?}"
                ));
            }
        };
        if self.end.is_cancelled() {
            farewell(&connection).await;
            return Ended::Stopped;
        }
        let born = Instant::now();
        let events = connection.events_listener();
        let (live, mut condemned) = Live::new(connection, self.generation);
        let live = Arc::new(live);
        self.greet(&live);
        let ended = tokio::select! {
            () = self.end.cancelled() => Ended::Stopped,
            why = listen(&live, self.dial.role, events) => Ended::Lost(why),
            why = look_after(&live, &channel) => Ended::Lost(why),
            Some(why) = condemned.recv() => Ended::Lost(why),
        };
        // First nobody gets it any more, then it goes.
        self.report.send_replace(State::Down("it was just lost".into()));
        live.ended.cancel();
        if born.elapsed() >= GOOD {
            self.wait = AGAIN;
        }
        if self.dial.role == Role::Publish {
            telemetry::blocked(false);
        }
        // A server that is alive gives back at once what was not acknowledged. The channel outlives this: the
        // driver takes the end of one for an error while the connection is being closed.
        farewell(&live.connection).await;
        drop(channel);
        ended
    }

    fn greet(&mut self, live: &Arc<Live>) {
        let connection = self.dial.role.as_str();
        if self.generation > 1 {
            telemetry::reconnected(connection);
        }
        telemetry::connected(connection, true);
        // That the first attempt succeeds is no news: a command's output would begin with it.
        if self.generation > 1 {
            tracing::info!(connection, generation = self.generation, "reconnected to the broker");
        } else {
            tracing::debug!(connection, "connected to the broker");
        }
        self.complaint.clear();
        self.report.send_replace(State::Up(Arc::clone(live)));
    }
}

async fn farewell(connection: &Connection) {
    drop(timeout(FAREWELL, connection.close(200, "OK".into())).await);
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A connection, with a channel to ask by whether the server is there.
async fn dial(dial: &Dial) -> lapin::Result<(Connection, Channel)> {
    // The driver panics when its runtime ends while it resolves a name, so a name server that does not answer
    // has to be noticed before.
    let authority = &dial.uri.authority;
    drop(lookup_host((authority.host.as_str(), authority.port)).await?);
    let name = format!("{} {}", dial.process, dial.role.as_str());
    // No recovery by the driver: it leaves publishers hanging, and consumers without a sign that their
    // deliveries are somebody else's now.
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "lockgate".into());
    let connection = Connection::connect_uri(dial.uri.clone(), properties).await?;
    let channel = connection.create_channel().await?;
    Ok((connection, channel))
}

/// Listens to what the driver tells, until it tells of the end.
async fn listen(live: &Live, role: Role, events: impl Stream<Item = Event>) -> String {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(reason) => {
                telemetry::blocked(true);
                tracing::warn!(
                    connection = role.as_str(),
                    reason,
                    "the broker takes no messages: an alarm is on"
                );
            }
            Event::ConnectionUnblocked => {
                telemetry::blocked(false);
                tracing::info!(connection = role.as_str(), "the broker takes messages again");
            }
            // Also told of a single channel, which is for its user to notice.
            Event::Error(error) if !live.connection.status().connected() => return chain(&error),
            _ => {}
        }
    }
    "the driver has ended the connection".to_owned()
}

/// Asks the server again and again, until it does not answer in time.
async fn look_after(live: &Live, channel: &Channel) -> String {
    let mut looks = interval(LOOK);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = live.suspicion.notified() => {}
        }
        if let Err(why) = look(live, channel).await {
            return why;
        }
    }
}

/// While an alarm is on, a server reads nothing from us and so answers nothing; heartbeats say whether it
/// lives.
async fn look(live: &Live, channel: &Channel) -> Result<(), String> {
    if live.is_blocked() {
        return Ok(());
    }
    // The cheapest question that has an answer; on this channel it changes nothing.
    match timeout(ANSWER, channel.basic_qos(1, BasicQosOptions::default())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) if live.is_blocked() => Ok(()),
        Err(_) => Err(format!("the server did not answer within {ANSWER:?}")),
    }
}
