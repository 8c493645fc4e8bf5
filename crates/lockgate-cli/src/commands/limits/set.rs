//! `limits set`: another rate or burst, while everything runs.
//!
//! In a stage it changes what is configured: the stage stays, with its share of the new rate.

use clap::Args;
use lockgate::limits::{LimitChange, LimitStatus, Quota, Ramp, RampState, Rate};
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{Named, change, find, stage_of};
use crate::commands::views::LimitView;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The pool, or kind:NAME
    name: Named,

    /// Starts per time, such as 10/s, 600/min or 3/10s, in all processes together
    #[arg(long, value_name = "RATE", value_parser = parse_rate, required_unless_present = "burst")]
    rate: Option<Rate>,

    /// The most starts that are saved up while none comes; as it is, or what the rate brings in a second
    #[arg(long, value_name = "N", value_parser = crate::arguments::number(1, u32::MAX))]
    burst: Option<u32>,

    /// Only if the limit is still at this version, as `limits show --output json` shows it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Done {
    limit: LimitView,
}

impl Set {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { name, rate, burst, if_version } = self;
        name.check(lockgate).await?;
        let limit = name.limit();
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let found = find(lockgate, &limit).await?;
        let staged = found.as_ref().and_then(stage_of);
        let in_force = found.as_ref().and_then(|found| found.quota).or(configured);
        let known = staged.as_ref().map_or(in_force, |note| note.configured);
        let Some(rate) = rate.or_else(|| known.map(|quota| quota.rate())) else {
            return Err(Problem::usage(format!("limit {limit} has no rate yet; say --rate, too")).into());
        };
        let burst = burst.or_else(|| known.map(|quota| quota.burst())).unwrap_or_else(|| rate.in_a_second());
        let quota = Quota::new(rate, burst)
            .map_err(|error| Problem::usage(format!("{error}; say a smaller --burst or a faster --rate")))?;
        let wanted = match (staged, found) {
            (Some(note), Some(found)) => {
                let ramp = settings::ramp(lockgate.settings()).remove(&limit).unwrap_or_default();
                beneath(note, quota, &ramp, if_version.unwrap_or(found.version))
            }
            _ => LimitChange { quota: Some(quota), note: Some(String::new()), version: if_version },
        };
        let status = change(lockgate, &limit, wanted).await?;
        let done = Done { limit: LimitView::new(&status, configured) };
        terminal.show(&done, |_| said(&limit, quota, &status))?;
        Ok(Exit::Ok)
    }
}

/// Another configured quota beneath the stage that a limit is in.
fn beneath(note: RampState, quota: Quota, ramp: &Ramp, version: u64) -> LimitChange {
    RampState { configured: Some(quota), ..note }.change(ramp, version)
}

fn said(limit: &str, quota: Quota, status: &LimitStatus) -> String {
    let (rate, burst, version) = (quota.rate(), quota.burst(), status.version);
    match (stage_of(status), status.quota) {
        (Some(note), Some(in_force)) => format!(
            "limit {limit}: {rate}, burst {burst}, once its ramp end; stage {} keeps it at {}, burst {}; version {version}",
            note.step + 1,
            in_force.rate(),
            in_force.burst(),
        ),
        _ => format!("limit {limit}: {rate}, burst {burst}, version {version}"),
    }
}

fn parse_rate(text: &str) -> Result<Rate, Problem> {
    text.parse().map_err(|error| Problem::usage(format!("{text:?} is not a rate: {error}")))
}
