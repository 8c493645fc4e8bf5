//! Starts a private set of the three servers, and a ClickHouse where it is installed, runs a command on them, stops them,
//! and ends as the command did.
//!
//! Never a server that was there before; a Ctrl-C in the terminal reaches the command once, not twice.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use support::Result;
use support::servers::{self, ClickHouse, Servers};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Starts a private RabbitMQ, Redis and PostgreSQL, and a ClickHouse where it is installed, and runs COMMAND on them.
///
/// They listen on the loopback, on free ports, keep their files in a temporary folder, and are gone when COMMAND ends.
/// The exit code is COMMAND's. No server that runs on this machine already is touched.
///
/// COMMAND finds them in its environment: LOCKGATE__DISTRIBUTED__POSTGRES__URL, .._AMQP__URL and .._REDIS__URL are the
/// program's own settings, so that any worker runs on them with engine = "distributed"; LOCKGATE_TEST_POSTGRES_URL,
/// .._AMQP_URL, .._REDIS_URL, .._RABBITMQCTL and .._CLICKHOUSE_URL are for tests.
#[derive(Debug, Parser)]
#[command(name = "private-servers", max_term_width = 100)]
struct Args {
    /// What to run, with its arguments. Without it the servers stay up until Ctrl-C, and what a shell has to export
    /// to use them is printed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args.command).await {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: &[String]) -> Result<ExitCode> {
    // Before anything is started: from here on a signal ends nothing by itself.
    let mut signals = Signals::listen()?;
    say("private-servers: starting RabbitMQ, Redis and PostgreSQL ..");
    let (servers, clickhouse) = tokio::task::spawn_blocking(start).await??;
    let backend = clickhouse.as_ref().map(ClickHouse::environment).unwrap_or_default();
    let environment = [servers.environment(), servers.config(), backend].concat();
    let Some((program, args)) = command.split_first() else {
        stay_up(&environment, &mut signals).await;
        return Ok(ExitCode::SUCCESS);
    };
    say("private-servers: they answer");
    let mut command = Command::new(program);
    command.args(args).envs(environment);
    let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
    let status = ended(&mut child, &mut signals).await?;
    drop((servers, clickhouse));
    Ok(code(status))
}

/// All of them, side by side. A set without ClickHouse is good for all that does not ask one.
fn start() -> Result<(Servers, Option<ClickHouse>)> {
    let wanted = servers::clickhouse_available()?;
    std::thread::scope(|scope| {
        let clickhouse = scope.spawn(|| wanted.then(ClickHouse::start).transpose());
        let servers = Servers::start()?;
        let clickhouse = clickhouse.join().map_err(|_| anyhow::anyhow!("starting ClickHouse panicked"))?;
        Ok((servers, clickhouse?))
    })
}

#[expect(clippy::print_stdout, reason = "for a shell to read")]
async fn stay_up(environment: &[(&str, String)], signals: &mut Signals) {
    for (name, value) in environment {
        println!("export {name}='{value}'");
    }
    say("private-servers: they answer; Ctrl-C stops them");
    signals.next().await;
}

async fn ended(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            signal = signals.next() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                // A terminal sends its signals to the command as well. Passed on, they would arrive twice, and a
                // second one is an order to end at once.
                let sent_to_both = signal != Signal::TERM && std::fs::File::open("/dev/tty").is_ok();
                if let (Some(pid), false) = (pid, sent_to_both) {
                    kill_process(pid, signal)?;
                }
            }
        }
    }
}

/// The signals that ask for an end.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

/// As a shell says it: 128 and the signal, when one ended the command.
fn code(status: ExitStatus) -> ExitCode {
    let code =
        status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "for a person to read")]
fn say(line: &str) {
    eprintln!("{line}");
}
