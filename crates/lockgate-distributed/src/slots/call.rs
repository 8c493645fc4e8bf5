//! Calls of scripts: keys and common arguments, response timeout, and the identity of the server.
//!
//! A call never takes longer than the response timeout, whatever the connection does. A call whose outcome is
//! unknown is not repeated.

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::time::millis;
use lockgate_core::timing::SlotTiming;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script as Text, ServerErrorKind, Value};
use tokio::time::timeout;

use super::connection::{Connection, Freshness};
use super::failure::{self, engine_error};
use super::link::{Link, State};
use super::reply;
use super::script::Script;

/// The keys of a namespace, in the order of `prologue.lua`.
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

/// The session that calls, and the name of its process.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) session: SessionId,
    pub(super) process: String,
}

/// The arguments of one operation, without keys and common arguments.
#[derive(Debug, Default)]
pub(super) struct Args {
    /// The field of the pool that the call is probably about. The prologue reads it together with the rest; a
    /// wrong guess costs one more read.
    likely: String,
    own: Vec<Vec<u8>>,
}

/// The part of each command that is the same for all calls.
pub(super) struct CommonArgs {
    keys: Vec<String>,
    ttl: i64,
    cap: i64,
    channel: String,
}

impl CommonArgs {
    pub(super) fn new(namespace: &str, timing: &SlotTiming, channel: String) -> Self {
        let keys = KEYS.iter().map(|key| format!("{{lockgate:{namespace}}}:{key}")).collect();
        Self { keys, ttl: millis(timing.ttl), cap: millis(timing.clock_cap), channel }
    }
}

impl Args {
    /// Creates the arguments of a call that is probably about this pool.
    pub(super) fn likely_about(pool: &str) -> Self {
        let likely = if pool.is_empty() { String::new() } else { format!("p\u{1}{pool}") };
        Self { likely, own: Vec::new() }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.own.push(text.as_bytes().to_vec());
        self
    }

    pub(super) fn display(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.own.push(value.to_string().into_bytes());
        self
    }
}

impl Link {
    /// Calls a script. Returns its answer, and delivers grants to the caller's own session.
    pub(super) async fn call(
        &self,
        script: Script,
        session: Option<SessionId>,
        args: &Args,
    ) -> Result<Value, EngineError> {
        let command = |server, known| self.command(script, session, args, (server, known));
        let answer = self.run_in_time(script.doing(), script.text(), command).await?;
        let mut parts = reply::list(script.doing(), answer)?.into_iter().skip(1);
        let result = parts.next().unwrap_or(Value::Nil);
        if let (Some(session), Some(own_grants)) = (session, parts.next()) {
            self.listeners.deliver_grants(session, own_grants);
        }
        if let Some(lost_keys) = parts.next() {
            warn_of_loss(lost_keys);
        }
        Ok(result)
    }

    /// Calls a script of the token store. The first two arguments are the identity of the server and how
    /// fresh it is, as for scripts of the slots. Returns what follows "ok".
    pub(crate) async fn evaluate(
        &self,
        doing: &'static str,
        text: &'static Text,
        keys: &[String],
        args: &[String],
    ) -> Result<Value, EngineError> {
        let command = |server: String, known: Freshness| {
            let mut command = redis::cmd("EVALSHA");
            command.arg(text.get_hash()).arg(keys.len()).arg(keys).arg(server).arg(known as u8).arg(args);
            command
        };
        let answer = self.run_in_time(doing, text, command).await?;
        Ok(Value::Array(reply::list(doing, answer)?.into_iter().skip(1).collect()))
    }

    async fn run_in_time(
        &self,
        doing: &'static str,
        text: &'static Text,
        command: impl Fn(String, Freshness) -> Cmd,
    ) -> Result<Value, EngineError> {
        let answer = match timeout(self.response, self.run_script(text, command)).await {
            Ok(answer) => answer,
            Err(_) => Err(RedisError::from((ErrorKind::Io, "no reply within the response timeout"))),
        };
        answer.map_err(|error| {
            if error.is_io_error() || error.is_unrecoverable_error() {
                self.suspect.notify_one();
            }
            engine_error(doing, error)
        })
    }

    /// Sends the command. `command` builds it from the identity of the server and how fresh that is.
    async fn run_script(
        &self,
        text: &'static Text,
        command: impl Fn(String, Freshness) -> Cmd,
    ) -> RedisResult<Value> {
        let connection = self.connection().await?;
        let answer = self.send(&connection, text, command(connection.identity().0, Freshness::Cached)).await;
        if answer.as_ref().is_err_and(failure::may_lose_data) {
            connection.forget_identity();
        }
        let answer = answer?;
        if !reply::is_identity(&answer) {
            return Ok(answer);
        }
        // The state is another server's, or the cached identity is old. Read it again; the script then
        // accepts it.
        connection.read_identity().await?;
        let (identity, known) = connection.identity();
        self.send(&connection, text, command(identity, known)).await
    }

    async fn send(&self, connection: &Connection, text: &'static Text, command: Cmd) -> RedisResult<Value> {
        let mut multiplexed = connection.multiplexed.clone();
        match multiplexed.send_packed_command(&command).await.and_then(Value::extract_error) {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                connection.load(text).await?;
                multiplexed.send_packed_command(&command).await.and_then(Value::extract_error)
            }
            answer => answer,
        }
    }

    /// Returns the connection, waiting up to half the response timeout for it to come up.
    pub(super) async fn connection(&self) -> RedisResult<Connection> {
        let mut state = self.state.clone();
        let closed = || RedisError::from((ErrorKind::Io, "the connection is closed"));
        let wait = state.wait_for(|state| matches!(state, State::Up(_)));
        match timeout(self.response / 2, wait).await {
            Ok(Ok(state)) => match &*state {
                State::Up(connection) => Ok(connection.clone()),
                State::Down(error) => Err(error.clone()),
            },
            Ok(Err(_)) => Err(closed()),
            Err(_) => match &*self.state.borrow() {
                State::Up(connection) => Ok(connection.clone()),
                State::Down(error) => Err(error.clone()),
            },
        }
    }

    fn command(
        &self,
        script: Script,
        session: Option<SessionId>,
        args: &Args,
        (server, known): (String, Freshness),
    ) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.text().get_hash()).arg(KEYS.len());
        for key in &self.common.keys {
            command.arg(key.as_str());
        }
        command.arg(self.common.ttl).arg(self.common.cap);
        command.arg(server).arg(known as u8);
        command.arg(session.map(|session| session.to_string()).unwrap_or_default());
        command.arg(self.common.channel.as_str());
        command.arg(u8::from(session.is_some_and(|session| self.listeners.listens(session))));
        command.arg(args.likely.as_str());
        for arg in &args.own {
            command.arg(arg.as_slice());
        }
        command
    }
}

/// Warns that keys of the store were lost. The call that detected it has begun a recovery.
fn warn_of_loss(keys: Value) {
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap_or_default();
    tracing::warn!(
        keys = keys.join(", "),
        "keys of the slot store were lost; nothing is granted until holders have registered again and drains have \
         ended; check that Redis has maxmemory-policy noeviction and that nobody deletes keys"
    );
}
