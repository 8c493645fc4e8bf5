//! The job: the usage of one organization in, its projections out. It reads as its steps and holds no rule of its own.
//! Several that are at hand together may share a query.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate::core::retry::Backoff;
use lockgate::{Canceller, Context, Database, Failure, Job, JobOptions, State, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hour::Hour;
use crate::projection::{Organization, Rules, Usage, project};
use crate::store::{Organizations, Projections, Provenance, Replaced};
use crate::usage::clickhouse::Queries;
use crate::usage::{QueryId, UsageSource};

mod group;
mod id;

/// How long one attempt may take.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Projects the usage of one organization. Anybody may send one as a message: `{"organization_id": 7}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectSpikes {
    /// The organization. In a message it may be a number.
    #[serde(deserialize_with = "id::text")]
    pub organization_id: String,
    /// The hour to project from; none: the one in which the job runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Hour>,
}

/// What the job's state has for a job that names no hour: the ledger's clock, the same for all workers of an engine.
#[derive(Debug, Clone)]
pub struct LedgerClock(pub Database);

impl LedgerClock {
    /// The hour that it is now.
    #[must_use]
    pub fn hour(&self) -> Hour {
        Hour::of(self.0.now())
    }
}

impl ProjectSpikes {
    /// The job of this organization in the run for this hour.
    #[must_use]
    pub fn new(organization_id: impl Into<String>, as_of: Timestamp) -> Self {
        Self { organization_id: organization_id.into(), as_of: Some(Hour::of(as_of)) }
    }
}

#[async_trait]
impl Job for ProjectSpikes {
    const KIND: &'static str = "spike-projection";

    fn options() -> JobOptions {
        let backoff = Backoff { base: Duration::from_secs(5), ..Backoff::default() };
        JobOptions::queue("spikes").pool("clickhouse", 1).max_attempts(3).deadline(DEADLINE).backoff(backoff)
    }

    /// The queries that an attempt left behind on ClickHouse. Other sources cannot end theirs.
    fn canceller(state: &State) -> Option<Arc<dyn Canceller>> {
        let queries = state.get::<Option<Queries>>().ok()?.clone()?;
        Some(Arc::new(queries))
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let asked = self.asked(ctx).await?;
        let source = ctx.state::<Arc<dyn UsageSource>>()?;
        let usage = source.hourly(&asked.organization.id, asked.hours(), &QueryId::in_context(ctx)).await?;
        asked.answer(&usage, ctx).await
    }

    async fn run_group(group: Vec<(Self, Context)>) -> Vec<Result<(), Failure>> {
        group::run(group).await
    }
}

/// What a job asks for.
struct Asked {
    organization: Organization,
    as_of: Hour,
    rules: Rules,
}

impl ProjectSpikes {
    async fn asked(&self, ctx: &Context) -> Result<Asked, Failure> {
        let Some(organization) = ctx.state::<Organizations>()?.find(&self.organization_id).await? else {
            return Err(Failure::permanent(format!("there is no organization {}", self.organization_id)));
        };
        let as_of = match self.as_of {
            Some(as_of) => as_of,
            None => ctx.state::<LedgerClock>()?.hour(),
        };
        Ok(Asked { organization, as_of, rules: ctx.state::<Rules>()?.clone() })
    }
}

impl Asked {
    /// What is looked back on.
    fn hours(&self) -> Range<Hour> {
        self.as_of.plus(-self.rules.look_back)..self.as_of
    }

    /// Stores the projections from this usage, or marks those before as stale.
    async fn answer(&self, usage: &Usage, ctx: &Context) -> Result<(), Failure> {
        let Self { organization, as_of, rules } = self;
        let projections = ctx.state::<Projections>()?;
        match project(organization, usage, *as_of, rules) {
            Ok(rows) => {
                let from = Provenance { generation: *as_of, fence: ctx.fence(), rules };
                let replaced = projections.replace(&organization.id, from, &rows).await?;
                if replaced == Replaced::Superseded {
                    tracing::info!(%as_of, "a newer projection is stored; this one is dropped");
                }
                Ok(())
            }
            Err(unknown) => {
                projections.mark_stale(&organization.id, *as_of, &unknown.to_string()).await?;
                Err(Failure::skip(format!("{unknown}; the projection before is kept, marked stale")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
