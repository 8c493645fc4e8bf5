//! One call of a script: its keys, the head of its arguments, and what can go wrong.
//!
//! It must never take longer than the response timeout, whatever the connection does, nor repeat a call whose outcome it
//! does not know.

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script as Text, ServerErrorKind, Value};
use tokio::time::timeout;

use super::failure::{self, engine_error};
use super::link::{Link, State};
use super::live::{Known, Live};
use super::reply;
use super::script::Script;

/// The keys of a namespace, in the order of `desk.lua`.
const KEYS: [&str; 12] = [
    "state",
    "leases",
    "waiters",
    "deadlines",
    "draining",
    "members",
    "firsts",
    "behind",
    "heads",
    "uses",
    "shares",
    "record",
];

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) process: String,
}

/// What a script is told, apart from its keys and head.
#[derive(Debug, Default)]
pub(super) struct Args {
    /// The field of the pool that the call is likely to be about: it is read with the rest. A wrong one costs a little time.
    likely: String,
    own: Vec<Vec<u8>>,
}

/// The part of each command that is the same for all calls of a link.
pub(super) struct Head {
    keys: Vec<String>,
    ttl: i64,
    cap: i64,
    channel: String,
}

impl Head {
    pub(super) fn new(namespace: &str, timing: &SlotTiming, channel: String) -> Self {
        let keys = KEYS.iter().map(|key| format!("{{lockgate:{namespace}}}:{key}")).collect();
        Self { keys, ttl: millis(timing.ttl), cap: millis(timing.clock_cap), channel }
    }
}

impl Args {
    /// The arguments of a call that is likely to be about this pool.
    pub(super) fn about(pool: &str) -> Self {
        let likely = if pool.is_empty() { String::new() } else { format!("p\u{1}{pool}") };
        Self { likely, own: Vec::new() }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.own.push(text.as_bytes().to_vec());
        self
    }

    pub(super) fn show(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.own.push(value.to_string().into_bytes());
        self
    }
}

impl Link {
    /// Calls a script; answers what it says behind its "ok".
    pub(super) async fn call(
        &self,
        script: Script,
        session: Option<SessionId>,
        args: &Args,
    ) -> Result<Value, EngineError> {
        let command = |server, known| self.command(script, session, args, (server, known));
        let answer = self.ask_in_time(script.doing(), script.text(), command).await?;
        let mut parts = reply::list(script.doing(), answer)?.into_iter().skip(1);
        let said = parts.next().unwrap_or(Value::Nil);
        if let (Some(session), Some(told)) = (session, parts.next()) {
            self.board.hand_over(session, told);
        }
        if let Some(damage) = parts.next() {
            warn_of_loss(damage);
        }
        Ok(said)
    }

    /// Calls a script of what lives beside the slots: it is told who the server is as theirs are, in its first two
    /// arguments. Answers what it says behind its "ok".
    pub(crate) async fn evaluate(
        &self,
        doing: &'static str,
        text: &'static Text,
        keys: &[String],
        args: &[String],
    ) -> Result<Value, EngineError> {
        let command = |server: String, known: Known| {
            let mut command = redis::cmd("EVALSHA");
            command.arg(text.get_hash()).arg(keys.len()).arg(keys).arg(server).arg(known as u8).arg(args);
            command
        };
        let answer = self.ask_in_time(doing, text, command).await?;
        Ok(Value::Array(reply::list(doing, answer)?.into_iter().skip(1).collect()))
    }

    async fn ask_in_time(
        &self,
        doing: &'static str,
        text: &'static Text,
        command: impl Fn(String, Known) -> Cmd,
    ) -> Result<Value, EngineError> {
        let answer = match timeout(self.response, self.ask(text, command)).await {
            Ok(answer) => answer,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no answer in time"))),
        };
        answer.map_err(|error| {
            if error.is_io_error() || error.is_unrecoverable_error() {
                self.doubt.notify_one();
            }
            engine_error(doing, error)
        })
    }

    /// `command` is told who the server is, and how well that is known.
    async fn ask(&self, text: &'static Text, command: impl Fn(String, Known) -> Cmd) -> RedisResult<Value> {
        let live = self.live().await?;
        let answer = self.send(&live, text, command(live.identity().0, Known::Before)).await;
        if answer.as_ref().is_err_and(failure::may_lose_data) {
            live.forget_identity();
        }
        let answer = answer?;
        if !reply::is_identity(&answer) {
            return Ok(answer);
        }
        // The state is another server's, or what this connection knows of its server is old. It is asked, and believed.
        live.read_identity().await?;
        let (identity, known) = live.identity();
        self.send(&live, text, command(identity, known)).await
    }

    async fn send(&self, live: &Live, text: &'static Text, command: Cmd) -> RedisResult<Value> {
        let mut connection = live.connection.clone();
        match connection.send_packed_command(&command).await.and_then(Value::extract_error) {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                live.load(text).await?;
                connection.send_packed_command(&command).await.and_then(Value::extract_error)
            }
            answer => answer,
        }
    }

    /// The connection, when there is one, or as soon as there is.
    pub(super) async fn live(&self) -> RedisResult<Live> {
        let mut state = self.state.clone();
        let closed = || RedisError::from((ErrorKind::Io, "the connection is closed"));
        let wait = state.wait_for(|state| matches!(state, State::Up(_)));
        match timeout(self.response / 2, wait).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(live.clone()),
                State::Down(error) => Err(error.clone()),
            },
            Ok(Err(_)) => Err(closed()),
            Err(_) => match &*self.state.borrow() {
                State::Up(live) => Ok(live.clone()),
                State::Down(error) => Err(error.clone()),
            },
        }
    }

    fn command(
        &self,
        script: Script,
        session: Option<SessionId>,
        args: &Args,
        (server, known): (String, Known),
    ) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.text().get_hash()).arg(KEYS.len());
        for key in &self.head.keys {
            command.arg(key.as_str());
        }
        command.arg(self.head.ttl).arg(self.head.cap);
        command.arg(server).arg(known as u8);
        command.arg(session.map(|session| session.to_string()).unwrap_or_default());
        command.arg(self.head.channel.as_str());
        command.arg(u8::from(session.is_some_and(|session| self.board.listens(session))));
        command.arg(args.likely.as_str());
        for arg in &args.own {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// Keys of the store were lost, and the call that detected it has begun a recovery.
fn warn_of_loss(keys: Value) {
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap_or_default();
    tracing::warn!(
        keys = keys.join(", "),
        "keys of the slot store were lost; nothing is granted until holders have registered again and what drained has \
         ended; check that Redis has maxmemory-policy noeviction and that nobody deletes keys"
    );
}
