//! `limits ramp`: shows where a limit is on its way through its ramp, and moves it.
//!
//! A move is a compare-and-set on the version that was shown, so two that move a limit at once never skip a
//! stage.

mod view;

use clap::{Args, ValueEnum};
use lockgate::limits::{LimitChange, LimitStatus, Quota, Ramp, RampState, RampStep};
use lockgate::{Lockgate, settings};

use super::{Named, change, find, stage_of};
use crate::{Exit, Problem, Terminal};
use view::Shown;

#[derive(Debug, Args)]
pub(super) struct RampArguments {
    /// The pool, or kind:NAME
    name: Named,

    /// What to do; without it the ramp are shown
    action: Option<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Begin with the first stage
    Start,
    /// Go to the next stage without waiting for the soak time
    Advance,
    /// Go to the stage before; from the first, end the ramp
    Back,
    /// End the ramp: what is configured is in force again
    End,
}

impl RampArguments {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { name, action } = self;
        name.check(lockgate).await?;
        let limit = name.limit();
        let ramp = settings::ramp(lockgate.settings()).remove(&limit).unwrap_or_default();
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let mut found = find(lockgate, &limit).await?;
        if let Some(action) = action {
            let at = At::new(&name, found.as_ref(), configured);
            found = Some(perform(lockgate, &at, &ramp, action).await?);
        }
        let slots = name.slots(lockgate).await?;
        let shown = Shown::new(lockgate, limit, &ramp, (found.as_ref(), configured, slots));
        terminal.show(&shown, |look| shown.describe(look))?;
        Ok(Exit::Ok)
    }
}

/// Where a limit is before it is moved.
struct At<'a> {
    name: &'a Named,
    note: Option<RampState>,
    version: u64,
    /// What is in force without ramp.
    configured: Option<Quota>,
}

impl<'a> At<'a> {
    fn new(name: &'a Named, found: Option<&LimitStatus>, configured: Option<Quota>) -> Self {
        let note = found.and_then(stage_of);
        let in_force = found.filter(|found| !found.is_unset()).map_or(configured, |found| found.quota);
        let configured = note.as_ref().map_or(in_force, |note| note.configured);
        Self { name, note, version: found.map_or(0, |found| found.version), configured }
    }

    /// The note after an action; `None`: the ramp end.
    fn after(&self, ramp: &Ramp, action: Action) -> Result<Option<RampState>, Problem> {
        let to = |place, why: &str| {
            Ok(Some(RampState { step: place, configured: self.configured, reason: why.to_owned() }))
        };
        let refused = |what: &str| Err(Problem::refused(format!("limit {} {what}", self.name.limit())));
        let last = ramp.steps.len().saturating_sub(1);
        let place = self.note.as_ref().map(|note| note.step.min(last));
        match (action, place) {
            (Action::Start, _) if ramp.steps.is_empty() => {
                refused("has no ramp; add steps to its `ramp` in the config")
            }
            (Action::Start, _) => to(0, "started by an operator"),
            (_, None) => {
                refused(&format!("is in no stage; limits ramp {} start begins with the first", self.name))
            }
            (Action::End, _) | (Action::Back, Some(0)) => Ok(None),
            (Action::Back, Some(place)) => to(place - 1, "sent back by an operator"),
            (Action::Advance, Some(place)) if place < last => to(place + 1, "advanced by an operator"),
            (Action::Advance, Some(_)) => {
                refused(&format!("is in its last stage; limits ramp {} end ends them", self.name))
            }
        }
    }
}

async fn perform(
    lockgate: &Lockgate,
    at: &At<'_>,
    ramp: &Ramp,
    action: Action,
) -> anyhow::Result<LimitStatus> {
    let note = at.after(ramp, action)?;
    let stage = note.as_ref().and_then(|note| ramp.step(note.step)).copied();
    let wanted = match &note {
        Some(note) => note.change(ramp, at.version),
        None => {
            let ending = RampState { step: 0, configured: at.configured, reason: String::new() };
            ending.end(at.version)
        }
    };
    check_that_it_limits(at.name, stage.as_ref(), &wanted)?;
    let status = change(lockgate, &at.name.limit(), wanted).await?;
    // After the limit: a worker that still finds it in a stage corrects the slots, and none does once the
    // ramp have ended.
    at.name.roll_out(lockgate, stage.as_ref()).await?;
    Ok(status)
}

/// Refuses ramp of a kind that has no rate: it has no slots either.
fn check_that_it_limits(name: &Named, stage: Option<&RampStep>, wanted: &LimitChange) -> Result<(), Problem> {
    if stage.is_none() || wanted.quota.is_some() || matches!(name, Named::Pool(_)) {
        return Ok(());
    }
    Err(Problem::refused(format!(
        "limit {} has no rate to take a share of; set one with limits set {name} --rate RATE, or give its steps a rate",
        name.limit()
    )))
}
