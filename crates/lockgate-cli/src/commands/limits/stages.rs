//! `limits stages`: a change that reaches a small share first. Where a limit stands, why, and what moves it.
//!
//! It must never move a limit that somebody else has moved meanwhile.

use clap::{Args, ValueEnum};
use lockgate::Lockgate;
use lockgate::core::pool::{PoolChange, PoolCommand};
use lockgate::limits::{LimitChange, LimitStatus, Stage, StageNote, Stages};
use serde::Serialize;
use tokio::time::Instant;

use super::{Named, change, find};
use crate::commands::views::{StageView, none, of_ms};
use crate::times::rfc3339;
use crate::{Exit, Look, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Staged {
    /// The pool, or kind:NAME
    name: Named,

    /// What to do; nothing: only to look
    action: Option<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Begins with the first stage
    Start,
    /// Goes to the next stage, without waiting for its hold
    Advance,
    /// Goes to the stage before
    Back,
}

#[derive(Debug, Serialize)]
struct Shown {
    limit: String,
    /// The place of the stage that holds, from 1; null: none does.
    stage: Option<usize>,
    since: Option<String>,
    why: Option<String>,
    stages: Vec<StageView>,
}

impl Staged {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { name, action } = self;
        name.check(lockgate).await?;
        let found = find(lockgate, &name.limit()).await?;
        let note = match action {
            None => found.as_ref().and_then(|status| status.note.parse().ok()),
            Some(action) => Some(move_it(lockgate, &name, found.as_ref(), action).await?),
        };
        let stages = Stages::canary(Instant::now())?;
        let shown = Shown::new(name.limit(), note, &stages);
        terminal.show(&shown, |look| shown.describe(look))?;
        Ok(Exit::Ok)
    }
}

async fn move_it(
    lockgate: &Lockgate,
    name: &Named,
    found: Option<&LimitStatus>,
    action: Action,
) -> anyhow::Result<StageNote> {
    let at = found.and_then(|status| status.note.parse::<StageNote>().ok()).map(|note| note.place);
    let (stages, why) = moved(name, action, at)?;
    let since = u64::try_from(lockgate.now().0).unwrap_or(0);
    let note = StageNote { place: stages.place(), since, why };
    let version = Some(found.map_or(0, |status| status.version));
    let stage = *stages.current();
    let wanted = LimitChange { quota: stage.quota, note: Some(note.to_string()), version };
    change(lockgate, &name.limit(), wanted).await?;
    in_flight(lockgate, name, &stage).await?;
    Ok(note)
}

/// Where an action leads, and why it stands there then.
fn moved(name: &Named, action: Action, at: Option<usize>) -> anyhow::Result<(Stages, String)> {
    let now = Instant::now();
    let stages = Stages::canary(now)?;
    let refused = |what: &str| Problem::refused(format!("limit {} {what}", name.limit()));
    let mut stages = match (action, at) {
        (Action::Start, _) => return Ok((stages, String::from("started by an operator"))),
        (_, Some(place)) => stages.resumed(place, now),
        (_, None) => {
            return Err(refused("is in no stage; `limits stages NAME start` begins with the first").into());
        }
    };
    match action {
        Action::Back if stages.back(now) => Ok((stages, String::from("sent back by an operator"))),
        Action::Back => Err(refused("is in its first stage; nothing is before it").into()),
        _ if stages.advance(now) => Ok((stages, String::from("advanced by an operator"))),
        _ => Err(refused("is in its last stage; nothing comes after it").into()),
    }
}

/// What may be in flight at once is the slots of the pool; a kind has none of its own.
async fn in_flight(lockgate: &Lockgate, name: &Named, stage: &Stage) -> anyhow::Result<()> {
    let Named::Pool(pool) = name else { return Ok(()) };
    let change = PoolChange { slots: Some(stage.in_flight), ..PoolChange::default() };
    let command = PoolCommand::Set { pool: pool.clone(), change, version: None };
    lockgate.engine.slots.control(command).await?;
    Ok(())
}

impl Shown {
    fn new(limit: String, note: Option<StageNote>, stages: &Stages) -> Self {
        let place = note.as_ref().map(|note| note.place);
        let views = stages.all().enumerate().map(|(n, stage)| StageView::new(stage, place == Some(n)));
        // Workers, whose clocks nobody compares, tell none.
        let since = note.as_ref().filter(|note| note.since > 0);
        let since = since.map(|note| i64::try_from(note.since).unwrap_or(i64::MAX));
        Self {
            limit,
            stage: place.map(|place| place + 1),
            since: since.map(|since| rfc3339(lockgate::Timestamp(since))),
            why: note.map(|note| note.why),
            stages: views.collect(),
        }
    }

    fn describe(&self, look: &Look) -> String {
        let rows = self.stages.iter().enumerate().map(|(n, stage)| {
            [
                (n + 1).to_string(),
                format!("{} %", stage.share_percent),
                stage.rate.clone(),
                stage.burst.to_string(),
                stage.in_flight.to_string(),
                of_ms(stage.hold_ms),
                stage.min_samples.to_string(),
                format!("{} %", stage.max_error_rate * 100.0),
                of_ms(stage.max_p95_ms),
                if stage.is_current { String::from("now") } else { none() },
            ]
        });
        let headers =
            ["stage", "share", "rate", "burst", "in flight", "hold", "samples", "errors", "p95", "note"];
        let standing = match (self.stage, &self.since, &self.why) {
            (Some(stage), Some(since), Some(why)) => {
                format!("{} is in stage {stage} since {since}: {why}.", self.limit)
            }
            (Some(stage), None, Some(why)) => format!("{} is in stage {stage}: {why}.", self.limit),
            _ => format!("{} is in no stage; add start to begin.", self.limit),
        };
        format!("{}\n{standing}", look.table(headers, rows))
    }
}
