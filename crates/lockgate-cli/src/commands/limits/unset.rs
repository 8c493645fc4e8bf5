//! `limits unset`: removes a rate that was set.

use clap::Args;
use lockgate::limits::LimitChange;
use lockgate::{Lockgate, settings};
use serde::Serialize;

use super::{Named, change, find, stage_of};
use crate::commands::views::LimitView;
use crate::{Exit, Problem, Terminal};

#[derive(Debug, Args)]
pub(super) struct Unset {
    /// The pool, or kind:NAME
    name: Named,

    /// Only if the limit is still at this version, as `limits show --output json` shows it
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Done {
    limit: LimitView,
}

impl Unset {
    pub(super) async fn run(self, lockgate: &Lockgate, terminal: &Terminal) -> anyhow::Result<Exit> {
        let Self { name, if_version } = self;
        let limit = name.limit();
        let Some(found) = find(lockgate, &limit).await?.filter(|found| !found.is_unset()) else {
            let problem =
                format!("limit {limit} has no rate that was set; `limits show` names all that have one");
            return Err(Problem::not_found(problem).into());
        };
        if let Some(note) = stage_of(&found) {
            let stage = note.step + 1;
            let problem =
                format!("limit {limit} is in stage {stage}; end its ramp first: limits ramp {name} end");
            return Err(Problem::refused(problem).into());
        }
        let configured = settings::quotas(lockgate.settings()).remove(&limit);
        let version = if_version.or(Some(found.version));
        let wanted = LimitChange { quota: configured, note: Some(String::new()), version };
        let status = change(lockgate, &limit, wanted).await?;
        let done = Done { limit: LimitView::new(&status, configured) };
        terminal.show(&done, |_| match configured {
            Some(quota) => {
                format!("limit {limit}: {}, burst {}, as the config says", quota.rate(), quota.burst())
            }
            None => format!("limit {limit}: no rate"),
        })?;
        Ok(Exit::Ok)
    }
}
