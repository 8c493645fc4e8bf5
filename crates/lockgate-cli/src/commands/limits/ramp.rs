//! `limits ramp`: shows the ramp of a limit, and starts it, moves it by a step or ends it.
//!
//! A move is a compare-and-set on the version that was read, so two concurrent moves cannot skip a step.

mod view;

use clap::{Args, ValueEnum};
use lockgate::limits::{LimitChange, LimitStatus, Quota, Ramp, RampState, RampStep};
use lockgate::{Lockgate, settings};

use super::{LimitTarget, change, find, ramp_state};
use crate::{Exit, Problem, Terminal};
use view::RampOutput;

#[derive(Debug, Args)]
pub(super) struct RampArgs {
    /// Name of the pool, or kind:NAME
    target: LimitTarget,

    /// Action to take; without one, show the ramp
    action: Option<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Begin with the first step
    Start,
    /// Go to the next step without waiting for the soak time
    Advance,
    /// Go to the previous step; from the first step, end the ramp
    Back,
    /// End the ramp, so that the configured rate, burst and slots apply again
    End,
}

impl RampArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { target, action } = self;
        target.check(lockgate).await?;
        let limit = target.limit();
        let ramp = settings::ramp(lockgate.settings()).remove(&limit).unwrap_or_default();
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let mut status = find(lockgate, &limit).await?;
        if let Some(action) = action {
            let position = Position::new(&target, status.as_ref(), configured);
            status = Some(perform(lockgate, &position, &ramp, action).await?);
        }
        let slots = target.slots(lockgate).await?;
        let output = RampOutput::new(lockgate, limit, &ramp, (status.as_ref(), configured, slots));
        terminal.show(&output, |style| output.describe(style))?;
        Ok(Exit::Ok)
    }
}

/// The position of a limit before a move.
struct Position<'a> {
    target: &'a LimitTarget,
    /// `None`: the limit is in no step.
    state: Option<RampState>,
    version: u64,
    /// The quota without the ramp.
    configured: Option<Quota>,
}

impl<'a> Position<'a> {
    fn new(target: &'a LimitTarget, status: Option<&LimitStatus>, configured: Option<Quota>) -> Self {
        let state = status.and_then(ramp_state);
        let in_force = status.filter(|status| !status.is_unset()).map_or(configured, |status| status.quota);
        let configured = state.as_ref().map_or(in_force, |state| state.configured);
        Self { target, state, version: status.map_or(0, |status| status.version), configured }
    }

    /// Returns the state after an action. `None`: the ramp ends.
    fn after(&self, ramp: &Ramp, action: Action) -> Result<Option<RampState>, Problem> {
        let to = |place, why: &str| {
            Ok(Some(RampState { step: place, configured: self.configured, reason: why.to_owned() }))
        };
        let refused = |what: &str| Err(Problem::refused(format!("limit {} {what}", self.target.limit())));
        let last = ramp.steps.len().saturating_sub(1);
        let step = self.state.as_ref().map(|state| state.step.min(last));
        match (action, step) {
            (Action::Start, _) if ramp.steps.is_empty() => {
                refused("has no ramp; add steps to its `ramp` in the config")
            }
            (Action::Start, _) => to(0, "started by an operator"),
            (_, None) => {
                refused(&format!("is in no step; start its ramp with `limits ramp {} start`", self.target))
            }
            (Action::End, _) | (Action::Back, Some(0)) => Ok(None),
            (Action::Back, Some(step)) => to(step - 1, "sent back by an operator"),
            (Action::Advance, Some(step)) if step < last => to(step + 1, "advanced by an operator"),
            (Action::Advance, Some(_)) => {
                refused(&format!("is in its last step; end its ramp with `limits ramp {} end`", self.target))
            }
        }
    }
}

async fn perform(
    lockgate: &Lockgate,
    position: &Position<'_>,
    ramp: &Ramp,
    action: Action,
) -> anyhow::Result<LimitStatus> {
    let state = position.after(ramp, action)?;
    let step = state.as_ref().and_then(|state| ramp.step(state.step)).copied();
    let wanted = match &state {
        Some(state) => state.change(ramp, position.version),
        None => {
            let ending = RampState { step: 0, configured: position.configured, reason: String::new() };
            ending.end(position.version)
        }
    };
    check_has_effect(position.target, step.as_ref(), &wanted)?;
    let status = change(lockgate, &position.target.limit(), wanted).await?;
    // The slots change after the limit. A worker that reads the old step in between sets the slots of that
    // step, and this call corrects them; once the ramp has ended, no worker sets them any more.
    position.target.apply_slots(lockgate, step.as_ref()).await?;
    Ok(status)
}

/// Refuses a ramp that would have no effect: a kind without a rate has neither a rate nor slots to reduce.
fn check_has_effect(
    target: &LimitTarget,
    step: Option<&RampStep>,
    wanted: &LimitChange,
) -> Result<(), Problem> {
    if step.is_none() || wanted.quota.is_some() || matches!(target, LimitTarget::Pool(_)) {
        return Ok(());
    }
    Err(Problem::refused(format!(
        "limit {} has no rate that a step could reduce; set one with `limits set {target} --rate RATE`, or give its steps a \
         rate in the config",
        target.limit()
    )))
}
