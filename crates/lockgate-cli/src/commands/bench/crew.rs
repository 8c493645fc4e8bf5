//! Worker processes of a measurement: this binary, started again.
//!
//! None outlives this process: each ends when its standard input does.

use std::process::Stdio;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Arguments;
use super::ground::Ground;
use super::samples::Sample;
use crate::session::Session;

/// Worker processes, ready to begin at one word.
pub(super) struct Crew {
    members: Vec<Member>,
}

struct Member {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What a worker process tells at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished {
    /// Processor time since it was told to begin, in nanoseconds.
    pub(super) cpu_ns: u64,
    pub(super) resident: u64,
    pub(super) peak: u64,
    pub(super) succeeded: u64,
    pub(super) deferred: u64,
    pub(super) samples: Vec<Sample>,
}

/// What a worker process says when it has everything that it needs.
pub(super) const READY: &str = "ready";
/// What it is told to begin.
pub(super) const GO: &str = "go";

impl Crew {
    /// Starts the processes, and waits until each is connected.
    pub(super) async fn muster(
        session: &Session,
        ground: &Ground,
        arguments: &Arguments,
    ) -> anyhow::Result<Self> {
        let started: anyhow::Result<Vec<Member>> =
            (0..arguments.processes).map(|place| Member::start(session, ground, arguments, place)).collect();
        let mut members = started?;
        for member in &mut members {
            let line = member.answers.next_line().await?;
            if line.as_deref() != Some(READY) {
                bail!("a worker process did not begin; it says why above");
            }
        }
        Ok(Self { members })
    }

    /// Tells all to begin.
    pub(super) async fn go(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.orders.write_all(format!("{GO}\n").as_bytes()).await?;
            member.orders.flush().await?;
        }
        Ok(())
    }

    /// Looks whether all still live.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            if let Some(status) = member.process.try_wait()? {
                bail!("a worker process ended in the middle of the measurement ({status})");
            }
        }
        Ok(())
    }

    /// Tells all to end, and takes what they tell.
    pub(super) async fn dismiss(self) -> anyhow::Result<Vec<Finished>> {
        let mut finished = Vec::new();
        for Member { mut process, orders, mut answers } in self.members {
            drop(orders);
            let line = answers.next_line().await?.context("a worker process told nothing at its end")?;
            finished.push(serde_json::from_str(&line).context("cannot read what a worker process told")?);
            process.wait().await?;
        }
        Ok(finished)
    }
}

impl Member {
    fn start(session: &Session, ground: &Ground, arguments: &Arguments, place: u32) -> anyhow::Result<Self> {
        let doing = "cannot start a worker process";
        let mut command = Command::new(std::env::current_exe().context(doing)?);
        command.arg("bench-worker");
        let sources = &session.loaded().sources;
        if let Some(file) = &sources.file {
            command.arg("--config").arg(file);
        }
        // Its log is not what is measured; a filter from the flags comes later, and is stronger.
        command.args(["--set", "log.filter=warn"]);
        for (key, value) in sources.overrides.iter().chain(ground.overrides()) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.arg("--sleep").arg(humantime::format_duration(arguments.sleep).to_string());
        command.args(["--room", &arguments.jobs.to_string()]);
        command.args(["--concurrency", &arguments.concurrency.to_string()]);
        if arguments.without_slots {
            command.arg("--without-slots");
        }
        if let Some(slots) = arguments.own_slots(place) {
            command.args(["--own-slots", &slots.to_string()]);
        }
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().context(doing)?;
        let orders = process.stdin.take().context(doing)?;
        let answers = BufReader::new(process.stdout.take().context(doing)?).lines();
        Ok(Self { process, orders, answers })
    }
}
