//! `dead replay` and `dead drop`. Nothing is replayed or dropped unless every id that was given exists.

use std::collections::BTreeMap;

use clap::Args;
use lockgate::core::dead::{DeadQuery, DeadReason, Resolution};
use lockgate::{Lockgate, QueueName};
use serde::Serialize;

use super::{QueueArgs, find, parse_reason};
use crate::context::CommandContext;
use crate::{Exit, Problem};

/// With `--reason`, one call reads at most this many dead letters of each queue.
const MAX_READ: u32 = 10_000;

#[derive(Debug, Args)]
pub(super) struct SelectionArgs {
    /// Ids of dead letters
    #[arg(value_name = "ID", conflicts_with = "all")]
    ids: Vec<String>,

    /// All dead letters that exist now
    #[arg(long)]
    all: bool,

    /// With --all: only dead letters with this reason
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    reason: Option<DeadReason>,

    #[command(flatten)]
    queues: QueueArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    selection: SelectionArgs,
}

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    selection: SelectionArgs,

    /// With --all: confirm the deletion, which cannot be undone
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Serialize)]
struct ResolveOutput {
    replayed: u64,
    dropped: u64,
}

impl ReplayArgs {
    pub(super) fn check(self) -> Result<SelectionArgs, Problem> {
        self.selection.check()
    }
}

impl DropArgs {
    pub(super) fn check(self) -> Result<SelectionArgs, Problem> {
        if self.selection.all && !self.yes {
            return Err(Problem::usage(
                "deleting all dead letters cannot be undone; check `dead list`, then add --yes",
            ));
        }
        if self.yes && !self.selection.all {
            return Err(Problem::usage("--yes is for --all only; omit it for single ids"));
        }
        self.selection.check()
    }
}

/// The selected ids of each queue. `None`: all dead letters of the queue.
type Selection = BTreeMap<QueueName, Option<Vec<String>>>;

pub(super) async fn run(
    context: &CommandContext,
    selection: SelectionArgs,
    resolution: Resolution,
) -> anyhow::Result<Exit> {
    let lockgate = context.lockgate().await?;
    let queues = selection.queues.queues(context).await?;
    let mut resolved = 0;
    for (queue, ids) in selection.resolve_ids(context, lockgate, queues).await? {
        resolved += match ids {
            // For the broker an empty list means all, so it is not called.
            Some(ids) if ids.is_empty() => 0,
            ids => lockgate.engine.broker.resolve(&queue, ids.unwrap_or_default(), resolution).await?,
        };
    }
    let output = match resolution {
        Resolution::Replay => ResolveOutput { replayed: resolved, dropped: 0 },
        Resolution::Drop => ResolveOutput { replayed: 0, dropped: resolved },
    };
    context.terminal().show(&output, |_| match resolution {
        Resolution::Replay => format!("put {resolved} dead letters back into their queue"),
        Resolution::Drop => format!("deleted {resolved} dead letters"),
    })?;
    Ok(Exit::Ok)
}

impl SelectionArgs {
    fn check(self) -> Result<Self, Problem> {
        if self.ids.is_empty() && !self.all {
            return Err(Problem::usage("no dead letter given; give ids from `dead list`, or --all"));
        }
        if self.reason.is_some() && !self.all {
            return Err(Problem::usage("--reason needs --all; give both, or only ids"));
        }
        Ok(self)
    }

    async fn resolve_ids(
        self,
        context: &CommandContext,
        lockgate: &Lockgate,
        queues: Vec<QueueName>,
    ) -> anyhow::Result<Selection> {
        match self.reason {
            Some(reason) => of_reason(context, lockgate, queues, reason).await,
            None if self.all => Ok(queues.into_iter().map(|queue| (queue, None)).collect()),
            None => named(lockgate, &queues, self.ids).await,
        }
    }
}

async fn named(lockgate: &Lockgate, queues: &[QueueName], ids: Vec<String>) -> anyhow::Result<Selection> {
    let mut selection = Selection::new();
    for id in ids {
        let queue = find(lockgate, queues, &id).await?.queue;
        selection.entry(queue).or_default().get_or_insert_default().push(id);
    }
    Ok(selection)
}

async fn of_reason(
    context: &CommandContext,
    lockgate: &Lockgate,
    queues: Vec<QueueName>,
    reason: DeadReason,
) -> anyhow::Result<Selection> {
    let mut selection = Selection::new();
    for queue in queues {
        let query = DeadQuery { queue: queue.clone(), id: None, limit: MAX_READ };
        let letters = lockgate.engine.broker.dead(query).await?;
        if u32::try_from(letters.len()).is_ok_and(|read| read >= MAX_READ) {
            let note = format!(
                "only the oldest {MAX_READ} dead letters of {queue} were read; run the command again for more"
            );
            context.terminal().note(&note);
        }
        let ids = letters.into_iter().filter(|letter| letter.reason == reason).map(|letter| letter.id);
        selection.insert(queue, Some(ids.collect()));
    }
    Ok(selection)
}
