//! Starts private servers (RabbitMQ, Redis, PostgreSQL, and ClickHouse if it is installed), runs a command
//! with them, stops them, and exits with the command's exit code.
//!
//! Servers that ran before are not touched. Ctrl-C in a terminal reaches the command once, not twice.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};
use support::Result;
use support::servers::{self, ClickHouse, Servers};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Start private RabbitMQ, Redis and PostgreSQL servers, and ClickHouse if it is installed, and run COMMAND
/// with them.
///
/// The servers listen on the loopback on free ports, keep their files in a temporary folder, and stop when
/// COMMAND ends. The exit code is that of COMMAND. Servers that already run on this machine are not touched.
///
/// COMMAND finds the servers in its environment: LOCKGATE__DISTRIBUTED__POSTGRES__URL, .._AMQP__URL and
/// .._REDIS__URL are settings of the program, so that any worker uses them with engine = "distributed";
/// LOCKGATE_TEST_POSTGRES_URL, .._AMQP_URL, .._REDIS_URL, .._RABBITMQCTL and .._CLICKHOUSE_URL are for tests.
#[derive(Debug, Parser)]
#[command(name = "private-servers", max_term_width = 100)]
struct Args {
    /// Command to run, with its arguments. Without a command, the servers run until Ctrl-C, and the variables
    /// that a shell must export to use them are printed.
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
    // Before anything is started: from now on, signals do not end this process.
    let mut signals = Signals::listen()?;
    say("private-servers: starting RabbitMQ, Redis and PostgreSQL ..");
    let (servers, clickhouse) = tokio::task::spawn_blocking(start).await??;
    let backend = clickhouse.as_ref().map(ClickHouse::environment).unwrap_or_default();
    let environment = [servers.environment(), servers.config(), backend].concat();
    let Some((program, args)) = command.split_first() else {
        stay_up(&environment, &mut signals).await;
        return Ok(ExitCode::SUCCESS);
    };
    say("private-servers: all servers respond");
    let mut command = Command::new(program);
    command.args(args).envs(environment);
    let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
    let status = ended(&mut child, &mut signals).await?;
    drop((servers, clickhouse));
    Ok(code(status))
}

/// Starts all servers in parallel. ClickHouse is optional.
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
    say("private-servers: all servers respond; Ctrl-C stops them");
    signals.next().await;
}

async fn ended(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            signal = signals.next() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                // A terminal sends its signals to the command as well. A forwarded signal would be the second
                // one, which tells a worker to end at once.
                let sent_to_both = signal != Signal::TERM && std::fs::File::open("/dev/tty").is_ok();
                if let (Some(pid), false) = (pid, sent_to_both) {
                    kill_process(pid, signal)?;
                }
            }
        }
    }
}

/// The signals that request the end of this process.
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

/// Converts the status to an exit code as a shell does: 128 plus the signal if a signal ended the command.
fn code(status: ExitStatus) -> ExitCode {
    let code =
        status.code().or_else(|| Some(128 + status.signal()?)).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

#[expect(clippy::print_stderr, reason = "for a person to read")]
fn say(line: &str) {
    eprintln!("{line}");
}
