//! Cancels orphaned queries of executions that have ended: by timeout, by cancellation, or with their
//! process.
//!
//! The end of a query must not be confirmed while it may still start. A query that a process sent just before
//! its death may have reached the server without being listed yet. So an execution is confirmed only after
//! two checks.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lockgate::core::error::Source;
use lockgate::{Canceller, Fence, JobId, OrphanedQuery};

use super::{CancelOutcome, ClickHouseError, Queries};
use crate::usage::QueryId;

/// Time between the two checks. It is longer than a request needs from the socket to the server's process
/// list. A client that has no connection yet sends nothing after its death.
const ARRIVAL_TIME: Duration = Duration::from_secs(2);

#[async_trait]
impl Canceller for Queries {
    async fn end(&self, orphans: &[OrphanedQuery]) -> Result<Vec<OrphanedQuery>, Source> {
        Ok(self.end_twice(orphans, tokio::time::sleep(ARRIVAL_TIME)).await?)
    }
}

impl Queries {
    /// Cancels the running queries of these executions, before and after `arrival`. Returns the executions
    /// that have no running query afterwards.
    pub(super) async fn end_twice(
        &self,
        orphans: &[OrphanedQuery],
        arrival: impl Future<Output = ()>,
    ) -> Result<Vec<OrphanedQuery>, ClickHouseError> {
        self.end_of(orphans).await?;
        arrival.await;
        self.end_of(orphans).await?;
        let running = self.of(orphans).await?;
        let ended = |orphan: &&OrphanedQuery| !running.iter().any(|(_, theirs)| theirs == *orphan);
        Ok(orphans.iter().filter(ended).copied().collect())
    }

    /// Cancels the running queries of these executions. A query that cannot be cancelled is still listed at
    /// the next check.
    async fn end_of(&self, orphans: &[OrphanedQuery]) -> Result<(), ClickHouseError> {
        let running = self.of(orphans).await?;
        let ends = join_all(running.iter().map(|(id, _)| self.end(id.as_str()))).await;
        for ((id, orphan), end) in running.iter().zip(ends) {
            match end {
                Ok(CancelOutcome::Killed) => {
                    tracing::info!(query = %id, job = %orphan.job, "orphaned query cancelled")
                }
                Ok(CancelOutcome::NotSeen) => {}
                Err(error) => tracing::warn!(query = %id, %error, "cannot cancel orphaned query"),
            }
        }
        Ok(())
    }

    /// Returns the running queries of these executions and of earlier executions of the same jobs.
    async fn of(&self, orphans: &[OrphanedQuery]) -> Result<Vec<(QueryId, OrphanedQuery)>, ClickHouseError> {
        let of_job: HashMap<JobId, OrphanedQuery> =
            orphans.iter().map(|orphan| (orphan.job, *orphan)).collect();
        let theirs = |id: QueryId| {
            let (job, fence): (JobId, Fence) = id.execution()?;
            let orphan = of_job.get(&job).filter(|orphan| fence <= orphan.fence)?;
            Some((id, *orphan))
        };
        Ok(self.all().await?.into_iter().filter_map(theirs).collect())
    }
}
