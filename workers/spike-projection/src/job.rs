//! The job: reads the usage of one organization and stores its projections. This file shows the steps; the
//! rules are in `projection`. Jobs that are in flight together may share a query.

use std::collections::BTreeSet;
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

/// Deadline of one attempt.
pub const DEADLINE: Duration = Duration::from_secs(90);

/// Projects the usage of one organization. Any program may send one as a message: `{"organization_id": 7}`.
///
/// Unknown fields are rejected with their name, because a misspelled one would change what is projected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpikes {
    /// Id of the organization. In a message it may be a number, and the field may be called `org_id`.
    #[serde(alias = "org_id", deserialize_with = "id::text")]
    pub organization_id: String,
    /// Ids of the projects to project; `None` means all projects of the organization. Each id may be a
    /// number.
    #[serde(default, deserialize_with = "id::list", skip_serializing_if = "Option::is_none")]
    pub project_list: Option<Vec<String>>,
    /// The hour to project from; `None` means the hour in which the job runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Hour>,
}

/// The clock of the ledger, for jobs that name no hour. All workers of an engine see the same clock.
#[derive(Debug, Clone)]
pub struct LedgerClock(pub Database);

impl LedgerClock {
    /// Returns the current hour.
    #[must_use]
    pub fn hour(&self) -> Hour {
        Hour::of(self.0.now())
    }
}

impl ProjectSpikes {
    /// Creates the job of this organization in the run for this hour.
    #[must_use]
    pub fn new(organization_id: impl Into<String>, as_of: Timestamp) -> Self {
        Self { organization_id: organization_id.into(), project_list: None, as_of: Some(Hour::of(as_of)) }
    }
}

#[async_trait]
impl Job for ProjectSpikes {
    const KIND: &'static str = "spike-projection";

    fn options() -> JobOptions {
        let backoff = Backoff { base: Duration::from_secs(5), ..Backoff::default() };
        JobOptions::queue("spikes").pool("clickhouse", 1).max_attempts(3).deadline(DEADLINE).backoff(backoff)
    }

    /// Returns the canceller of orphaned queries on ClickHouse. Other sources cannot cancel queries.
    fn canceller(state: &State) -> Option<Arc<dyn Canceller>> {
        let queries = state.get::<Option<Queries>>().ok()?.clone()?;
        Some(Arc::new(queries))
    }

    async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let request = self.request(ctx).await?;
        let source = ctx.state::<Arc<dyn UsageSource>>()?;
        let usage =
            source.hourly(&request.organization.id, request.hours(), &QueryId::in_context(ctx)).await?;
        request.store(&usage, ctx).await
    }

    async fn run_group(group: Vec<(Self, Context)>) -> Vec<Result<(), Failure>> {
        group::run(group).await
    }
}

/// A job with everything that is needed to query and project it.
struct Request {
    organization: Organization,
    /// Ids of the projects whose projections are stored; `None` means all.
    projects: Option<Vec<String>>,
    as_of: Hour,
    rules: Rules,
}

impl ProjectSpikes {
    async fn request(&self, ctx: &Context) -> Result<Request, Failure> {
        let Some(organization) = ctx.state::<Organizations>()?.find(&self.organization_id).await? else {
            return Err(Failure::permanent(format!("there is no organization {}", self.organization_id)));
        };
        let as_of = match self.as_of {
            Some(as_of) => as_of,
            None => ctx.state::<LedgerClock>()?.hour(),
        };
        if let Some(unknown) = self.unknown_project(&organization) {
            let text = format!("organization {} has no project {unknown}", self.organization_id);
            return Err(Failure::permanent(text));
        }
        let projects = self.project_list.clone();
        Ok(Request { organization, projects, as_of, rules: ctx.state::<Rules>()?.clone() })
    }

    /// Returns the first project of the list that the organization does not have.
    fn unknown_project(&self, organization: &Organization) -> Option<&str> {
        let known: BTreeSet<&str> = organization.projects.iter().map(|project| project.id.as_str()).collect();
        self.project_list.iter().flatten().map(String::as_str).find(|project| !known.contains(project))
    }
}

impl Request {
    /// Returns the hours whose usage the projection is computed from.
    fn hours(&self) -> Range<Hour> {
        self.as_of.plus(-self.rules.look_back)..self.as_of
    }

    /// Stores the projections computed from this usage. If too little usage is known, records that
    /// the stored projections are stale.
    async fn store(&self, usage: &Usage, ctx: &Context) -> Result<(), Failure> {
        let Self { organization, projects, as_of, rules } = self;
        let projections = ctx.state::<Projections>()?;
        match project(organization, usage, *as_of, rules) {
            Ok(rows) => {
                let from = Provenance { generation: *as_of, fence: ctx.fence(), rules };
                let replaced = match projects {
                    None => projections.replace(&organization.id, from, &rows).await?,
                    Some(projects) => {
                        projections.replace_projects(&organization.id, from, projects, &rows).await?
                    }
                };
                if replaced == Replaced::Superseded {
                    tracing::info!(%as_of, "a newer projection is stored, dropping this one");
                }
                Ok(())
            }
            Err(unknown) => {
                projections.mark_stale(&organization.id, *as_of, &unknown.to_string()).await?;
                Err(Failure::skip(format!("{unknown}; the earlier projection is kept and marked stale")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
