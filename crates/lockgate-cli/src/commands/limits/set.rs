//! `limits set`: another rate or burst, while everything runs.
//!
//! It must never leave a limit in a stage whose numbers it no longer has.

use clap::Args;
use lockgate::limits::{LimitChange, Quota, Rate};
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{Named, change, find};
use crate::commands::views::LimitView;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The pool, or kind:NAME
    name: Named,

    /// Starts for a time, such as 10/s, 600/min or 3/10s, in all processes together
    #[arg(long, value_name = "RATE", value_parser = parse_rate, required_unless_present = "burst")]
    rate: Option<Rate>,

    /// The most starts that are saved up while none comes; as it is, or what the rate brings in a second
    #[arg(long, value_name = "N", value_parser = crate::arguments::number(1, u32::MAX))]
    burst: Option<u32>,

    /// Only when the limit is still at this version, as `limits show --output json` tells it
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
        let known = find(lockgate, &limit).await?.map(|status| status.quota).or(configured);
        let Some(rate) = rate.or_else(|| known.map(|quota| quota.rate())) else {
            return Err(Problem::usage(format!("limit {limit} has no rate yet; say --rate, too")).into());
        };
        let burst = burst.or_else(|| known.map(|quota| quota.burst())).unwrap_or_else(|| rate.in_a_second());
        let quota = Quota::new(rate, burst)
            .map_err(|error| Problem::usage(format!("{error}; say a smaller --burst or a faster --rate")))?;
        let wanted = LimitChange { quota, note: Some(String::new()), version: if_version };
        let status = change(lockgate, &limit, wanted).await?;
        let done = Done { limit: LimitView::new(&status, configured) };
        terminal.show(&done, |_| {
            let LimitView { name, rate, burst, version, .. } = &done.limit;
            format!("limit {name}: {rate}, burst {burst}, version {version}")
        })?;
        Ok(Exit::Ok)
    }
}

fn parse_rate(text: &str) -> Result<Rate, Problem> {
    text.parse().map_err(|error| Problem::usage(format!("{text:?} is not a rate: {error}")))
}
