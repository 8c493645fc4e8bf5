//! `limits unset`: removes a rate that was set.

use clap::Args;
use lockgate::limits::LimitChange;
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{LimitTarget, change, find, ramp_state};
use crate::commands::views::LimitView;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct UnsetArgs {
    /// Name of the pool, or kind:NAME
    target: LimitTarget,

    /// Fail unless the limit is at this version, as `limits show --output json` prints it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LimitOutput {
    limit: LimitView,
}

impl UnsetArgs {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { target, if_version } = self;
        let limit = target.limit();
        let Some(status) = find(lockgate, &limit).await?.filter(|status| !status.is_unset()) else {
            let problem = format!(
                "limit {limit} has no rate that was set; `limits show` lists the limits that have one"
            );
            return Err(Problem::not_found(problem).into());
        };
        if let Some(state) = ramp_state(&status) {
            let step = state.step + 1;
            let problem = format!(
                "limit {limit} is in step {step} of its ramp; end the ramp first with `limits ramp {target} end`"
            );
            return Err(Problem::refused(problem).into());
        }
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let version = if_version.or(Some(status.version));
        let wanted = LimitChange { quota: configured, note: Some(String::new()), version };
        let status = change(lockgate, &limit, wanted).await?;
        let output = LimitOutput { limit: LimitView::new(&status, configured) };
        terminal.show(&output, |_| match configured {
            Some(quota) => {
                format!("limit {limit}: {}, burst {}, from the config", quota.rate(), quota.burst())
            }
            None => format!("limit {limit}: no rate"),
        })?;
        Ok(Exit::Ok)
    }
}
