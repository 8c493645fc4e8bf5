//! `enqueue`: plans a run, durably, and returns. The batches go out by themselves, from any worker.
//!
//! It must never dispatch: a plan that is not whole is worth nothing.

use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate::core::bounds::MAX_DURATION;
use lockgate::core::cadence::MAX_BATCH_SIZE;
use lockgate::core::ledger::Planned;
use lockgate::core::run::RunSpec;
use lockgate::{App, Lockgate, RunName, Timestamp};
use serde::Serialize;

use super::runs::find;
use super::views::{RunView, cadence, ms, none};
use crate::arguments::{duration, examples, number};
use crate::program::{Command, Input, Manifest, ManifestRequest};
use crate::session::Session;
use crate::times::{DAY, parse_hour, parse_time, rfc3339};
use crate::{Exit, fanout, follow};

/// `enqueue`
pub(crate) struct Enqueue;

#[derive(Debug, Args)]
struct Arguments {
    /// Name of the run; by default its kind and hour. The same name again answers with the run that exists
    #[arg(long, value_name = "NAME")]
    run: Option<RunName>,

    /// Jobs dispatched together; by default runs.batch_size of the config
    #[arg(long, value_name = "N", value_parser = number(1, MAX_BATCH_SIZE))]
    batch_size: Option<u32>,

    /// Time from one batch to the next, such as 2s; by default runs.batch_delay of the config
    #[arg(long, value_name = "DURATION", value_parser = duration(Duration::ZERO, DAY))]
    batch_delay: Option<Duration>,

    /// Whom the jobs are about, one a line, instead of all: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    orgs: Option<Input>,

    /// When the first batch is due: RFC 3339, now, or +10m; by default as soon as the plan is whole
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    start_at: Option<Timestamp>,

    /// The hour that the run is for: 2026-11-22T09 (UTC), or now
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, default_value = "now")]
    as_of: Timestamp,

    /// How long after its start the run's jobs are still worth running; what is left then is skipped
    #[arg(long, value_name = "DURATION", value_parser = duration(Duration::from_secs(1), MAX_DURATION))]
    deadline: Option<Duration>,

    /// Says what the run would be, and plans nothing
    #[arg(long)]
    dry_run: bool,

    /// Stays until every job is over, and shows how it goes
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct DryRun {
    dry_run: bool,
    run: String,
    kind: String,
    as_of: String,
    planned: u64,
    batches: u64,
    batch_size: u32,
    batch_delay_ms: u64,
    first_due: Option<String>,
    last_due: Option<String>,
}

#[derive(Debug, Serialize)]
struct Enqueued {
    existed: bool,
    added: u64,
    run: RunView,
}

#[async_trait]
impl Command for Enqueue {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("enqueue").about("Plans a run: one job for each of many, in delayed batches");
        Arguments::augment_args(command).before_help(examples(&[
            ("{bin} enqueue --dry-run", "what the run of this hour would be"),
            ("{bin} enqueue --follow", "plan it, and watch until every job is over"),
            (
                "{bin} enqueue --orgs some.csv --run again-1 --batch-delay 500ms",
                "only some, under a name, faster",
            ),
        ]))
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let arguments = Arguments::from_arg_matches(matches)?;
        let lockgate = session.lockgate().await?;
        let request = ManifestRequest { as_of: arguments.as_of, keys: arguments.orgs.clone() };
        let mut manifest = session.program().manifest(lockgate, request).await?;
        let app = session.program().app(lockgate).await?;
        let spec = arguments.spec(lockgate, &app, manifest.as_ref())?;
        if arguments.dry_run {
            return dry_run(session, &spec, manifest.as_mut()).await;
        }
        let planned = {
            let progress = session.terminal().progress("planning", None);
            fanout::plan(lockgate, spec, manifest.as_mut(), &progress).await?
        };
        say(session, &planned, &arguments);
        if arguments.follow {
            follow::until_settled(lockgate, &planned.run.name, session.terminal()).await?;
        }
        let summary = find(lockgate, &planned.run.name, arguments.follow).await?;
        let answer = Enqueued { existed: planned.existed, added: planned.added, run: (&summary).into() };
        session.terminal().show(&answer, |look| answer.run.describe(look))?;
        Ok(Exit::Ok)
    }
}

impl Arguments {
    fn spec(&self, lockgate: &Lockgate, app: &App, manifest: &dyn Manifest) -> anyhow::Result<RunSpec> {
        let mut spec = fanout::spec(lockgate, app, manifest, self.as_of)?;
        if let Some(name) = &self.run {
            spec.name = name.clone();
        }
        spec.cadence.batch_size = self.batch_size.unwrap_or(spec.cadence.batch_size);
        spec.cadence.batch_delay = self.batch_delay.unwrap_or(spec.cadence.batch_delay);
        spec.deadline = self.deadline.or(spec.deadline);
        spec.start_at = self.start_at;
        Ok(spec)
    }
}

async fn dry_run(session: &Session, spec: &RunSpec, manifest: &mut dyn Manifest) -> anyhow::Result<Exit> {
    let planned = {
        let progress = session.terminal().progress("counting", None);
        fanout::count(manifest, &progress).await?
    };
    let start = spec.start_at.unwrap_or_else(crate::times::now);
    let due = fanout::first_and_last(start, spec.cadence, planned);
    let answer = DryRun {
        dry_run: true,
        run: spec.name.to_string(),
        kind: spec.kind.to_string(),
        as_of: rfc3339(spec.as_of),
        planned,
        batches: spec.cadence.batches(planned),
        batch_size: spec.cadence.batch_size,
        batch_delay_ms: ms(spec.cadence.batch_delay),
        first_due: due.map(|(first, _)| rfc3339(first)),
        last_due: due.map(|(_, last)| rfc3339(last)),
    };
    session.terminal().show(&answer, |look| {
        let pairs = look.pairs(&[
            ("run", answer.run.clone()),
            ("hour", answer.as_of.clone()),
            ("jobs", answer.planned.to_string()),
            (
                "batches",
                format!("{}, {}", answer.batches, cadence(answer.batch_size, ms(spec.cadence.batch_delay))),
            ),
            ("first batch", answer.first_due.clone().unwrap_or_else(none)),
            ("last batch", answer.last_due.clone().unwrap_or_else(none)),
        ]);
        format!("{pairs}\nNothing was planned: this was a dry run.")
    })?;
    Ok(Exit::Ok)
}

fn say(session: &Session, planned: &Planned, arguments: &Arguments) {
    let (name, terminal) = (&planned.run.name, session.terminal());
    match (planned.existed, planned.added) {
        (false, _) => terminal.note(&format!("planned {name}; any worker (`work`) dispatches and runs it")),
        (true, 0) => {
            terminal
                .note(&format!("the run {name} exists already; this is how it stands (another: --run NAME)"));
        }
        (true, added) => {
            terminal
                .note(&format!("the planning of {name} was cut off, and is whole now: {added} jobs added"));
        }
    }
    if arguments.follow {
        terminal.note("following it until every job is over; Ctrl-C ends the following, not the run");
    }
    if planned.run.planned == 0 {
        let hint =
            if arguments.orgs.is_some() { "the input names nobody" } else { "nobody is there to plan for" };
        terminal.note(&format!("{hint}: the run {name} is empty"));
    }
}
