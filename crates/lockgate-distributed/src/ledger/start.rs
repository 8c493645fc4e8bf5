//! Starts of jobs: one statement for starts that are not recorded now, one for starts that are, and a closer
//! look at the rest.
//!
//! Only the delivery of its latest dispatch starts a job.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::JobId;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Execution, Start, StartDurability, Started};
use lockgate_core::time::Timestamp;
use lockgate_core::transition::MAX_UNSETTLED_STARTS;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::loaded::LoadedJobs;
use crate::columns::{integer, read_u32, sql};
use crate::database::{Doing, Work};

/// The starts of one call.
pub(super) struct Starts {
    starts: Vec<Start>,
    /// Ledger time.
    now: Timestamp,
    /// Index of the first start of each job, ordered by job id. All processes lock rows in this order, so
    /// they do not deadlock.
    first: Vec<usize>,
}

/// Results, by the index of their start in the call.
pub(super) type Results = HashMap<usize, Started>;

impl Starts {
    pub(super) fn new(starts: Vec<Start>, now: Timestamp) -> Self {
        let mut seen = HashSet::with_capacity(starts.len());
        let mut first: Vec<(JobId, usize)> = starts
            .iter()
            .enumerate()
            .filter(|(_, start)| seen.insert(start.job))
            .map(|(index, start)| (start.job, index))
            .collect();
        first.sort_unstable();
        Self { starts, now, first: first.into_iter().map(|(_, index)| index).collect() }
    }

    /// Returns the starts without a result.
    pub(super) fn remaining(&self, results: &Results) -> RemainingStarts {
        let remaining =
            self.starts.iter().copied().enumerate().filter(|(index, _)| !results.contains_key(index));
        RemainingStarts { starts: remaining.collect(), now: self.now }
    }

    pub(super) fn in_order(&self, mut results: Results) -> Vec<Started> {
        (0..self.starts.len()).map(|index| results.remove(&index).unwrap_or(Started::Stale)).collect()
    }
}

#[async_trait]
impl Work for Starts {
    type Output = Results;

    async fn run(&self, connection: &mut PgConnection) -> Result<Results, EngineError> {
        let is_unrecorded =
            |start: &Start| matches!(start.durability, StartDurability::Later | StartDurability::Never);
        let (unrecorded, recorded): (Vec<usize>, Vec<usize>) =
            self.first.iter().partition(|index| self.starts.get(**index).is_some_and(is_unrecorded));
        let mut results = self.check(connection, &unrecorded).await.doing("starting jobs")?;
        results.extend(self.record(connection, &recorded).await.doing("starting jobs")?);
        Ok(results)
    }
}

impl Starts {
    /// Checks starts that are not recorded. Writes nothing.
    async fn check(&self, connection: &mut PgConnection, indexes: &[usize]) -> sqlx::Result<Results> {
        if indexes.is_empty() {
            return Ok(Results::new());
        }
        let most_unsettled = |start: &Start| match start.durability {
            StartDurability::Never => integer(MAX_UNSETTLED_STARTS.saturating_sub(1)),
            _ => 0,
        };
        let rows = sqlx::query(sql!("ledger/check_starts"))
            .bind(self.column(indexes, |start| start.job.0))
            .bind(self.column(indexes, |start| integer(start.dispatch)))
            .bind(self.column(indexes, most_unsettled))
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        self.results(indexes, &rows, false)
    }

    async fn record(&self, connection: &mut PgConnection, indexes: &[usize]) -> sqlx::Result<Results> {
        if indexes.is_empty() {
            return Ok(Results::new());
        }
        let underway = |start: &Start| match start.durability {
            StartDurability::Underway(number) => Some(integer(number)),
            StartDurability::Now | StartDurability::Later | StartDurability::Never => None,
        };
        let rows = sqlx::query(sql!("ledger/start_jobs"))
            .bind(self.column(indexes, |start| start.job.0))
            .bind(self.column(indexes, |start| integer(start.dispatch)))
            .bind(self.column(indexes, |start| start.token))
            .bind(self.column(indexes, underway))
            .bind(integer(MAX_UNSETTLED_STARTS))
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        self.results(indexes, &rows, true)
    }

    fn column<T>(&self, indexes: &[usize], of: impl Fn(&Start) -> T) -> Vec<T> {
        indexes.iter().filter_map(|index| self.starts.get(*index)).map(of).collect()
    }

    fn results(&self, indexes: &[usize], rows: &[PgRow], recorded: bool) -> sqlx::Result<Results> {
        let by_job: HashMap<JobId, usize> =
            indexes.iter().filter_map(|index| Some((self.starts.get(*index)?.job, *index))).collect();
        let mut results = Results::with_capacity(rows.len());
        for row in rows {
            let execution = Execution {
                attempt: read_u32(row, "attempt")?,
                number: read_u32(row, "executions")?,
                started_at: Timestamp(row.try_get("updated_at")?),
                recorded,
                deferrals: read_u32(row, "deferrals_in_row")?,
            };
            if let Some(index) = by_job.get(&JobId(row.try_get("id")?)) {
                results.insert(*index, Started::Run(execution));
            }
        }
        Ok(results)
    }
}

/// Starts that a statement did not let through, each with its index in the call.
pub(super) struct RemainingStarts {
    pub(super) starts: Vec<(usize, Start)>,
    now: Timestamp,
}

#[async_trait]
impl Work for RemainingStarts {
    type Output = Results;

    async fn run(&self, tx: &mut PgConnection) -> Result<Results, EngineError> {
        let ids = self.starts.iter().map(|(_, start)| start.job).collect();
        let mut jobs = LoadedJobs::load(tx, ids, self.now).await.doing("starting jobs")?;
        let mut answer = |start: &Start| jobs.find(start.job).map_or(Started::Stale, |job| job.start(*start));
        let results = self.starts.iter().map(|(index, start)| (*index, answer(start))).collect();
        jobs.store(tx).await.doing("starting jobs")?;
        Ok(results)
    }
}
