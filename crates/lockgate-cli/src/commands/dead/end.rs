//! `dead replay` and `dead drop`: both end dead letters, one by putting them back.
//!
//! They must never begin before every id that was named is known to be there.

use std::collections::BTreeMap;

use clap::Args;
use lockgate::core::dead::{DeadQuery, DeadReason, Resolution};
use lockgate::{Lockgate, QueueName};
use serde::Serialize;

use super::{Where, find, parse_reason};
use crate::session::Session;
use crate::{Exit, Problem};

/// Dead letters of one reason that one call ends: each is looked at first.
const MOST: u32 = 10_000;

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Their ids, as `dead list` tells them
    #[arg(value_name = "ID", conflicts_with = "all")]
    ids: Vec<String>,

    /// All that lie there now
    #[arg(long)]
    all: bool,

    /// Of all, only those that are there for this reason
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    reason: Option<DeadReason>,

    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Forget {
    #[command(flatten)]
    which: Which,

    /// With --all: yes, throw them away; there is no way back
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Serialize)]
struct Done {
    replayed: u64,
    dropped: u64,
}

impl Replay {
    pub(super) fn check(self) -> Result<Which, Problem> {
        self.which.check()
    }
}

impl Forget {
    pub(super) fn check(self) -> Result<Which, Problem> {
        if self.which.all && !self.yes {
            return Err(Problem::usage(
                "dropping all dead letters cannot be taken back; look at `dead list`, then add --yes",
            ));
        }
        if self.yes && !self.which.all {
            return Err(Problem::usage("--yes goes with --all alone; single ids need none"));
        }
        self.which.check()
    }
}

/// What is to be ended in one queue; `None`: all.
type Chosen = BTreeMap<QueueName, Option<Vec<String>>>;

pub(super) async fn run(session: &Session, which: Which, end: Resolution) -> anyhow::Result<Exit> {
    let lockgate = session.lockgate().await?;
    let queues = which.place.queues(session).await?;
    let mut ended = 0;
    for (queue, ids) in which.choose(session, lockgate, queues).await? {
        ended += match ids {
            // To the broker an empty list is all of them.
            Some(ids) if ids.is_empty() => 0,
            ids => lockgate.engine.broker.resolve(&queue, ids.unwrap_or_default(), end).await?,
        };
    }
    let done = match end {
        Resolution::Replay => Done { replayed: ended, dropped: 0 },
        Resolution::Drop => Done { replayed: 0, dropped: ended },
    };
    session.terminal().show(&done, |_| match end {
        Resolution::Replay => format!("{ended} dead letters are back in their queue"),
        Resolution::Drop => format!("{ended} dead letters are gone"),
    })?;
    Ok(Exit::Ok)
}

impl Which {
    fn check(self) -> Result<Self, Problem> {
        if self.ids.is_empty() && !self.all {
            return Err(Problem::usage(
                "no dead letter was named; give ids, as `dead list` tells them, or --all",
            ));
        }
        if self.reason.is_some() && !self.all {
            return Err(Problem::usage("--reason chooses among all; give --all too, or ids alone"));
        }
        Ok(self)
    }

    async fn choose(
        self,
        session: &Session,
        lockgate: &Lockgate,
        queues: Vec<QueueName>,
    ) -> anyhow::Result<Chosen> {
        match self.reason {
            Some(reason) => of_reason(session, lockgate, queues, reason).await,
            None if self.all => Ok(queues.into_iter().map(|queue| (queue, None)).collect()),
            None => named(lockgate, &queues, self.ids).await,
        }
    }
}

async fn named(lockgate: &Lockgate, queues: &[QueueName], ids: Vec<String>) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen::new();
    for id in ids {
        let queue = find(lockgate, queues, &id).await?.queue;
        chosen.entry(queue).or_default().get_or_insert_default().push(id);
    }
    Ok(chosen)
}

async fn of_reason(
    session: &Session,
    lockgate: &Lockgate,
    queues: Vec<QueueName>,
    reason: DeadReason,
) -> anyhow::Result<Chosen> {
    let mut chosen = Chosen::new();
    for queue in queues {
        let query = DeadQuery { queue: queue.clone(), id: None, limit: MOST };
        let found = lockgate.engine.broker.dead(query).await?;
        if u32::try_from(found.len()).is_ok_and(|found| found >= MOST) {
            let said =
                format!("only the oldest {MOST} dead letters of {queue} were looked at; call again for more");
            session.terminal().note(&said);
        }
        let ids = found.into_iter().filter(|letter| letter.reason == reason).map(|letter| letter.id);
        chosen.insert(queue, Some(ids.collect()));
    }
    Ok(chosen)
}
