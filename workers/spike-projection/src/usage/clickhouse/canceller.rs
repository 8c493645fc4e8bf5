//! Ends the queries of executions that are gone: whose time was up, that were cancelled, whose process is dead.
//!
//! It must never confirm the end of a query that may still begin. A query that its process sent in its last moment may be on
//! the server's doorstep, and is not in its list: so nobody is confirmed who was not looked for twice.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lockgate::core::error::Source;
use lockgate::{Canceller, Fence, JobId, OrphanedQuery};

use super::{ClickHouseError, Ended, Queries};
use crate::usage::QueryId;

/// Between the two looks: longer than a request takes to get from a socket into the server's list. A client whose connection
/// was not even made sends nothing once it is gone.
const DOORSTEP: Duration = Duration::from_secs(2);

#[async_trait]
impl Canceller for Queries {
    async fn end(&self, leftovers: &[OrphanedQuery]) -> Result<Vec<OrphanedQuery>, Source> {
        Ok(self.end_twice(leftovers, tokio::time::sleep(DOORSTEP)).await?)
    }
}

impl Queries {
    /// Ends what runs of these executions, before and after `doorstep`. Answers those of which nothing runs then.
    pub(super) async fn end_twice(
        &self,
        leftovers: &[OrphanedQuery],
        doorstep: impl Future<Output = ()>,
    ) -> Result<Vec<OrphanedQuery>, ClickHouseError> {
        self.end_of(leftovers).await?;
        doorstep.await;
        self.end_of(leftovers).await?;
        let left = self.of(leftovers).await?;
        let gone = |leftover: &&OrphanedQuery| !left.iter().any(|(_, theirs)| theirs == *leftover);
        Ok(leftovers.iter().filter(gone).copied().collect())
    }

    /// Ends what runs of these executions. One that does not go is still there at the next look.
    async fn end_of(&self, leftovers: &[OrphanedQuery]) -> Result<(), ClickHouseError> {
        let running = self.of(leftovers).await?;
        let ends = join_all(running.iter().map(|(id, _)| self.end(id.as_str()))).await;
        for ((id, leftover), end) in running.iter().zip(ends) {
            match end {
                Ok(Ended::Killed) => tracing::info!(query = %id, job = %leftover.job, "ended"),
                Ok(Ended::NotSeen) => {}
                Err(error) => tracing::warn!(query = %id, %error, "a query could not be ended"),
            }
        }
        Ok(())
    }

    /// The running queries of these executions, and of earlier ones of the same jobs.
    async fn of(
        &self,
        leftovers: &[OrphanedQuery],
    ) -> Result<Vec<(QueryId, OrphanedQuery)>, ClickHouseError> {
        let of_job: HashMap<JobId, OrphanedQuery> = leftovers.iter().map(|left| (left.job, *left)).collect();
        let theirs = |id: QueryId| {
            let (job, fence): (JobId, Fence) = id.execution()?;
            let leftover = of_job.get(&job).filter(|left| fence <= left.fence)?;
            Some((id, *leftover))
        };
        Ok(self.all().await?.into_iter().filter_map(theirs).collect())
    }
}
