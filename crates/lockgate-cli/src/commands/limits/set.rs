//! `limits set`: changes a rate or a burst while workers run.
//!
//! During a ramp it changes the configured quota. The ramp step stays, and takes its share of the new quota.

use clap::Args;
use lockgate::limits::{LimitChange, LimitStatus, Quota, Ramp, RampState, Rate};
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{LimitTarget, change, find, ramp_state};
use crate::commands::views::LimitView;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name of the pool, or kind:NAME
    target: LimitTarget,

    /// Job starts per time in all processes together, such as 10/s, 600/min or 3/10s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, required_unless_present = "burst")]
    rate: Option<Rate>,

    /// Most unused starts that are saved up [default: unchanged, or the starts of one second]
    #[arg(long, value_name = "N", value_parser = crate::arguments::number(1, u32::MAX))]
    burst: Option<u32>,

    /// Fail unless the limit is at this version, as `limits show --output json` prints it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LimitOutput {
    limit: LimitView,
}

impl SetArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { target, rate, burst, if_version } = self;
        target.check(lockgate).await?;
        let limit = target.limit();
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let status = find(lockgate, &limit).await?;
        let state = status.as_ref().and_then(ramp_state);
        let in_force = status.as_ref().and_then(|status| status.quota).or(configured);
        let current = state.as_ref().map_or(in_force, |state| state.configured);
        let Some(rate) = rate.or_else(|| current.map(|quota| quota.rate())) else {
            return Err(Problem::usage(format!("limit {limit} has no rate yet; give --rate too")).into());
        };
        let burst =
            burst.or_else(|| current.map(|quota| quota.burst())).unwrap_or_else(|| rate.in_a_second());
        let quota = Quota::new(rate, burst)
            .map_err(|error| Problem::usage(format!("{error}; give a smaller --burst or a faster --rate")))?;
        let wanted = match (state, status) {
            (Some(state), Some(status)) => {
                let ramp = settings::ramp(lockgate.settings()).remove(&limit).unwrap_or_default();
                during_ramp(state, quota, &ramp, if_version.unwrap_or(status.version))
            }
            _ => LimitChange { quota: Some(quota), note: Some(String::new()), version: if_version },
        };
        let status = change(lockgate, &limit, wanted).await?;
        let output = LimitOutput { limit: LimitView::new(&status, configured) };
        terminal.show(&output, |_| describe(&limit, quota, &status))?;
        Ok(Exit::Ok)
    }
}

/// Returns the change of the configured quota during a ramp.
fn during_ramp(state: RampState, quota: Quota, ramp: &Ramp, version: u64) -> LimitChange {
    RampState { configured: Some(quota), ..state }.change(ramp, version)
}

fn describe(limit: &str, quota: Quota, status: &LimitStatus) -> String {
    let (rate, burst, version) = (quota.rate(), quota.burst(), status.version);
    match (ramp_state(status), status.quota) {
        (Some(state), Some(in_force)) => format!(
            "limit {limit}: {rate}, burst {burst} after its ramp; step {} keeps it at {}, burst {}; version {version}",
            state.step + 1,
            in_force.rate(),
            in_force.burst(),
        ),
        _ => format!("limit {limit}: {rate}, burst {burst}, version {version}"),
    }
}

fn parse_rate(text: &str) -> Result<Rate, Problem> {
    text.parse().map_err(|error| Problem::usage(format!("{text:?} is not a rate: {error}")))
}
