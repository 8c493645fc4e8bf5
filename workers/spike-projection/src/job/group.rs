//! Job groups: executes jobs of the same hour with one query.
//!
//! Each organization has its own result, so one cannot fail another. Only an error of the shared query is
//! reported to every job of the group.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use lockgate::{Context, ErrorClass, Failure, JobError};

use super::{ProjectSpikes, Request};
use crate::hour::Hour;
use crate::projection::Usage;
use crate::usage::{QueryId, UsageError, UsageSource};

/// The jobs that share a query: distinct organizations with the same hour.
type Queries = BTreeMap<(Hour, usize), Vec<GroupedJob>>;

/// A job of a group whose request is valid.
struct GroupedJob {
    index: usize,
    request: Request,
    ctx: Context,
}

/// Executes the jobs and returns their results in the same order.
pub(super) async fn run(group: Vec<(ProjectSpikes, Context)>) -> Vec<Result<(), Failure>> {
    let Some((_, first)) = group.first() else { return Vec::new() };
    // The shared query has the id of the first job, because it runs under that job's slot.
    let query = QueryId::in_context(first);
    let requests = join_all(group.iter().map(|(job, ctx)| job.request(ctx))).await;
    let (mut results, mut queries) = (Vec::with_capacity(group.len()), Queries::new());
    for (index, (request, (_, ctx))) in requests.into_iter().zip(group).enumerate() {
        results.push(request.map(|request| join(&mut queries, GroupedJob { index, request, ctx })));
    }
    // One after the other, because the group has one slot.
    for jobs in queries.into_values() {
        let usage = query_usage(&jobs, &query).await;
        let stored = join_all(jobs.iter().zip(usage).map(|(job, usage)| job.store(usage))).await;
        for (job, stored) in jobs.iter().zip(stored) {
            if let Some(result) = results.get_mut(job.index) {
                *result = stored;
            }
        }
    }
    results
}

/// Adds a job to the query of its hour. If that query has the same organization already, because two runs
/// project it, the job joins the next query of the hour.
fn join(queries: &mut Queries, job: GroupedJob) {
    let mut nth = 0;
    while let Some(others) = queries.get(&(job.request.as_of, nth))
        && others.iter().any(|other| other.request.organization.id == job.request.organization.id)
    {
        nth += 1;
    }
    queries.entry((job.request.as_of, nth)).or_default().push(job);
}

/// Queries the usage of organizations that share a query.
async fn query_usage(jobs: &[GroupedJob], query: &QueryId) -> Vec<Result<Usage, Failure>> {
    let Some(first) = jobs.first() else { return Vec::new() };
    let source = match first.ctx.state::<Arc<dyn UsageSource>>() {
        Ok(source) => source,
        Err(missing) => return jobs.iter().map(|_| Err(missing.clone().into())).collect(),
    };
    let ids: Vec<&str> = jobs.iter().map(|job| job.request.organization.id.as_str()).collect();
    match source.each(&ids, first.request.hours(), query).await {
        Ok(each) => each.into_iter().map(|usage| usage.map_err(Failure::from)).collect(),
        Err(error) => {
            let shared = SharedError(Arc::new(error));
            jobs.iter().map(|_| Err(shared.clone().into())).collect()
        }
    }
}

impl GroupedJob {
    async fn store(&self, usage: Result<Usage, Failure>) -> Result<(), Failure> {
        self.request.store(&usage?, &self.ctx).await
    }
}

/// An error of a query that several jobs share.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
struct SharedError(Arc<UsageError>);

impl JobError for SharedError {
    fn class(&self) -> ErrorClass {
        self.0.class()
    }

    fn backend_may_run(&self) -> bool {
        self.0.backend_may_run()
    }
}
