//! `enqueue`: plans a run and returns when the plan is durable. Any worker then dispatches its batches.

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
use crate::context::CommandContext;
use crate::program::{Command, Input, Manifest, ManifestRequest};
use crate::times::{DAY, parse_hour, parse_time, rfc3339};
use crate::{Exit, fanout, follow};

/// The command `enqueue`.
pub(crate) struct Enqueue;

#[derive(Debug, Args)]
struct EnqueueArgs {
    /// Name of the run [default: its kind and hour]; an existing run of this name is shown instead
    #[arg(long, value_name = "NAME")]
    run: Option<RunName>,

    /// Jobs dispatched together [default: runs.batch_size of the config]
    #[arg(long, value_name = "N", value_parser = number(1, MAX_BATCH_SIZE))]
    batch_size: Option<u32>,

    /// Time from one batch to the next, such as 2s [default: runs.batch_delay of the config]
    #[arg(long, value_name = "DURATION", value_parser = duration(Duration::ZERO, DAY))]
    batch_delay: Option<Duration>,

    /// Plan jobs only for these keys, one per line: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    orgs: Option<Input>,

    /// When the first batch is due: RFC 3339, now, or +10m [default: when the plan is complete]
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    start_at: Option<Timestamp>,

    /// Hour that the run is for: 2026-11-22T09 (UTC), or now
    #[arg(long, value_name = "HOUR", value_parser = parse_hour, default_value = "now")]
    as_of: Timestamp,

    /// Skip jobs that have not run this long after the start of the run
    #[arg(long, value_name = "DURATION", value_parser = duration(Duration::from_secs(1), MAX_DURATION))]
    deadline: Option<Duration>,

    /// Show the plan without creating the run
    #[arg(long)]
    dry_run: bool,

    /// Show the progress until every job is in a terminal state
    #[arg(long, conflicts_with = "dry_run")]
    follow: bool,
}

#[derive(Debug, Serialize)]
struct DryRunOutput {
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
struct EnqueueOutput {
    existed: bool,
    added: u64,
    run: RunView,
}

#[async_trait]
impl Command for Enqueue {
    fn spec(&self) -> clap::Command {
        let spec = clap::Command::new("enqueue")
            .about("Plan a run: a job for each key, dispatched in delayed batches");
        EnqueueArgs::augment_args(spec).before_help(examples(&[
            ("{bin} enqueue --dry-run", "show the plan of the run of this hour"),
            ("{bin} enqueue --follow", "plan the run, and show its progress until it is finished"),
            (
                "{bin} enqueue --orgs some.csv --run again-1 --batch-delay 500ms",
                "plan a named run for some keys, with a shorter delay",
            ),
        ]))
    }

    async fn run(&self, matches: &ArgMatches, context: &CommandContext) -> anyhow::Result<Exit> {
        let args = EnqueueArgs::from_arg_matches(matches)?;
        let lockgate = context.lockgate().await?;
        let request = ManifestRequest { as_of: args.as_of, keys: args.orgs.clone() };
        let mut manifest = context.program().manifest(lockgate, request).await?;
        let app = context.program().app(lockgate).await?;
        let spec = args.spec(lockgate, &app, manifest.as_ref())?;
        if args.dry_run {
            return dry_run(context, &spec, manifest.as_mut()).await;
        }
        let planned = {
            let progress = context.terminal().progress("planning", None);
            fanout::plan(lockgate, spec, manifest.as_mut(), &progress).await?
        };
        print_notes(context, &planned, &args);
        if args.follow {
            follow::until_settled(lockgate, &planned.run.name, context.terminal()).await?;
        }
        let summary = find(lockgate, &planned.run.name, args.follow).await?;
        let output = EnqueueOutput { existed: planned.existed, added: planned.added, run: (&summary).into() };
        context.terminal().show(&output, |style| output.run.describe(style))?;
        Ok(Exit::Ok)
    }
}

impl EnqueueArgs {
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

async fn dry_run(
    context: &CommandContext,
    spec: &RunSpec,
    manifest: &mut dyn Manifest,
) -> anyhow::Result<Exit> {
    let planned = {
        let progress = context.terminal().progress("counting", None);
        fanout::count(manifest, &progress).await?
    };
    let start = spec.start_at.unwrap_or_else(crate::times::now);
    let due = fanout::first_and_last(start, spec.cadence, planned);
    let output = DryRunOutput {
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
    context.terminal().show(&output, |style| {
        let pairs = style.pairs(&[
            ("run", output.run.clone()),
            ("hour", output.as_of.clone()),
            ("jobs", output.planned.to_string()),
            (
                "batches",
                format!("{}, {}", output.batches, cadence(output.batch_size, ms(spec.cadence.batch_delay))),
            ),
            ("first batch", output.first_due.clone().unwrap_or_else(none)),
            ("last batch", output.last_due.clone().unwrap_or_else(none)),
        ]);
        format!("{pairs}\nDry run: no run was created.")
    })?;
    Ok(Exit::Ok)
}

fn print_notes(context: &CommandContext, planned: &Planned, args: &EnqueueArgs) {
    let (name, terminal) = (&planned.run.name, context.terminal());
    match (planned.existed, planned.added) {
        (false, _) => terminal.note(&format!("planned {name}; workers (`work`) dispatch and run it")),
        (true, 0) => {
            terminal.note(&format!(
                "the run {name} already exists and is shown below; create another with --run NAME"
            ));
        }
        (true, added) => {
            terminal.note(&format!(
                "the planning of {name} was interrupted and is now complete: {added} jobs added"
            ));
        }
    }
    if args.follow {
        terminal.note(
            "showing progress until every job is in a terminal state; Ctrl-C stops this display, not the run",
        );
    }
    if planned.run.planned == 0 {
        let hint =
            if args.orgs.is_some() { "the input has no keys" } else { "there are no keys to plan jobs for" };
        terminal.note(&format!("{hint}: the run {name} is empty"));
    }
}
