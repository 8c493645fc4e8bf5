//! Starts of jobs: one statement for all that may run, and a closer look at the others.
//!
//! It must never start a job on anything but the delivery of its latest dispatch.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use lockgate_core::JobId;
use lockgate_core::error::EngineError;
use lockgate_core::ledger::{Execution, Start, Started};
use lockgate_core::time::Timestamp;
use lockgate_core::transition::MAX_UNSETTLED_STARTS;
use sqlx::{PgConnection, Row};

use super::standing::Standings;
use crate::columns::{integer, small, sql};
use crate::database::{Doing, Work};

/// The starts of one call.
pub(super) struct Starts {
    starts: Vec<Start>,
    /// Places of the first start of each job, in the order of the jobs' ids: so rows are locked, by whoever starts them.
    first: Vec<usize>,
}

/// Answers, by the place of their start in the call.
pub(super) type Answers = HashMap<usize, Started>;

impl Starts {
    pub(super) fn new(starts: Vec<Start>) -> Self {
        let mut seen = HashSet::with_capacity(starts.len());
        let mut first: Vec<(JobId, usize)> = starts
            .iter()
            .enumerate()
            .filter(|(_, start)| seen.insert(start.job))
            .map(|(place, start)| (start.job, place))
            .collect();
        first.sort_unstable();
        Self { starts, first: first.into_iter().map(|(_, place)| place).collect() }
    }

    /// What has no answer yet.
    pub(super) fn left(&self, answers: &Answers) -> LeftStarts {
        let left = self.starts.iter().copied().enumerate().filter(|(place, _)| !answers.contains_key(place));
        LeftStarts { starts: left.collect() }
    }

    pub(super) fn in_order(&self, mut answers: Answers) -> Vec<Started> {
        (0..self.starts.len()).map(|place| answers.remove(&place).unwrap_or(Started::Stale)).collect()
    }
}

#[async_trait]
impl Work for Starts {
    type Output = Answers;

    async fn run(&self, connection: &mut PgConnection) -> Result<Answers, EngineError> {
        self.start(connection).await.doing("starting jobs")
    }
}

impl Starts {
    async fn start(&self, connection: &mut PgConnection) -> sqlx::Result<Answers> {
        let first = || self.first.iter().filter_map(|place| Some((*place, self.starts.get(*place)?)));
        if self.first.is_empty() {
            return Ok(Answers::new());
        }
        let rows = sqlx::query(sql!("ledger/start_jobs"))
            .bind(first().map(|(_, start)| start.job.0).collect::<Vec<_>>())
            .bind(first().map(|(_, start)| integer(start.dispatch)).collect::<Vec<_>>())
            .bind(first().map(|(_, start)| start.token).collect::<Vec<_>>())
            .bind(integer(MAX_UNSETTLED_STARTS))
            .fetch_all(connection)
            .await?;
        let places: HashMap<JobId, usize> = first().map(|(place, start)| (start.job, place)).collect();
        let mut answers = Answers::with_capacity(rows.len());
        for row in &rows {
            let execution = Execution {
                attempt: small(row, "attempt")?,
                number: small(row, "executions")?,
                started_at: Timestamp(row.try_get("updated_at")?),
            };
            if let Some(place) = places.get(&JobId(row.try_get("id")?)) {
                answers.insert(*place, Started::Run(execution));
            }
        }
        Ok(answers)
    }
}

/// Starts that did not simply go through, each with its place in the call.
pub(super) struct LeftStarts {
    pub(super) starts: Vec<(usize, Start)>,
}

#[async_trait]
impl Work for LeftStarts {
    type Output = Answers;

    async fn run(&self, tx: &mut PgConnection) -> Result<Answers, EngineError> {
        let ids = self.starts.iter().map(|(_, start)| start.job).collect();
        let mut jobs = Standings::load(tx, ids).await.doing("starting jobs")?;
        let answer = |start: &Start| jobs.find(start.job).map_or(Started::Stale, |job| job.start(*start));
        let mut answer = answer;
        let answers = self.starts.iter().map(|(place, start)| (*place, answer(start))).collect();
        jobs.store(tx).await.doing("starting jobs")?;
        Ok(answers)
    }
}
