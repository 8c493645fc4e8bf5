//! Starts of jobs: one statement for all that may run and are left for later, one for those that are recorded, and a closer
//! look at the others.
//!
//! It must never start a job on anything but the delivery of its latest dispatch.

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
use crate::columns::{integer, small, sql};
use crate::database::{Doing, Work};

/// The starts of one call.
pub(super) struct Starts {
    starts: Vec<Start>,
    /// Ledger time.
    now: Timestamp,
    /// Places of the first start of each job, in the order of the jobs' ids: so rows are locked, by whoever starts them.
    first: Vec<usize>,
}

/// Answers, by the place of their start in the call.
pub(super) type Answers = HashMap<usize, Started>;

impl Starts {
    pub(super) fn new(starts: Vec<Start>, now: Timestamp) -> Self {
        let mut seen = HashSet::with_capacity(starts.len());
        let mut first: Vec<(JobId, usize)> = starts
            .iter()
            .enumerate()
            .filter(|(_, start)| seen.insert(start.job))
            .map(|(place, start)| (start.job, place))
            .collect();
        first.sort_unstable();
        Self { starts, now, first: first.into_iter().map(|(_, place)| place).collect() }
    }

    /// What has no answer yet.
    pub(super) fn left(&self, answers: &Answers) -> LeftStarts {
        let left = self.starts.iter().copied().enumerate().filter(|(place, _)| !answers.contains_key(place));
        LeftStarts { starts: left.collect(), now: self.now }
    }

    pub(super) fn in_order(&self, mut answers: Answers) -> Vec<Started> {
        (0..self.starts.len()).map(|place| answers.remove(&place).unwrap_or(Started::Stale)).collect()
    }
}

#[async_trait]
impl Work for Starts {
    type Output = Answers;

    async fn run(&self, connection: &mut PgConnection) -> Result<Answers, EngineError> {
        let is_read =
            |start: &Start| matches!(start.durability, StartDurability::Later | StartDurability::Never);
        let (read, recorded): (Vec<usize>, Vec<usize>) =
            self.first.iter().partition(|place| self.starts.get(**place).is_some_and(is_read));
        let mut answers = self.look(connection, &read).await.doing("starting jobs")?;
        answers.extend(self.record(connection, &recorded).await.doing("starting jobs")?);
        Ok(answers)
    }
}

impl Starts {
    /// Writes nothing.
    async fn look(&self, connection: &mut PgConnection, places: &[usize]) -> sqlx::Result<Answers> {
        if places.is_empty() {
            return Ok(Answers::new());
        }
        let most_unsettled = |start: &Start| match start.durability {
            StartDurability::Never => integer(MAX_UNSETTLED_STARTS.saturating_sub(1)),
            _ => 0,
        };
        let rows = sqlx::query(sql!("ledger/look_at_jobs"))
            .bind(self.column(places, |start| start.job.0))
            .bind(self.column(places, |start| integer(start.dispatch)))
            .bind(self.column(places, most_unsettled))
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        self.answers(places, &rows, false)
    }

    async fn record(&self, connection: &mut PgConnection, places: &[usize]) -> sqlx::Result<Answers> {
        if places.is_empty() {
            return Ok(Answers::new());
        }
        let underway = |start: &Start| match start.durability {
            StartDurability::Underway(number) => Some(integer(number)),
            StartDurability::Now | StartDurability::Later | StartDurability::Never => None,
        };
        let rows = sqlx::query(sql!("ledger/start_jobs"))
            .bind(self.column(places, |start| start.job.0))
            .bind(self.column(places, |start| integer(start.dispatch)))
            .bind(self.column(places, |start| start.token))
            .bind(self.column(places, underway))
            .bind(integer(MAX_UNSETTLED_STARTS))
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        self.answers(places, &rows, true)
    }

    fn column<T>(&self, places: &[usize], of: impl Fn(&Start) -> T) -> Vec<T> {
        places.iter().filter_map(|place| self.starts.get(*place)).map(of).collect()
    }

    fn answers(&self, places: &[usize], rows: &[PgRow], recorded: bool) -> sqlx::Result<Answers> {
        let by_job: HashMap<JobId, usize> =
            places.iter().filter_map(|place| Some((self.starts.get(*place)?.job, *place))).collect();
        let mut answers = Answers::with_capacity(rows.len());
        for row in rows {
            let execution = Execution {
                attempt: small(row, "attempt")?,
                number: small(row, "executions")?,
                started_at: Timestamp(row.try_get("updated_at")?),
                recorded,
                deferrals: small(row, "deferrals_in_row")?,
            };
            if let Some(place) = by_job.get(&JobId(row.try_get("id")?)) {
                answers.insert(*place, Started::Run(execution));
            }
        }
        Ok(answers)
    }
}

/// Starts that did not simply go through, each with its place in the call.
pub(super) struct LeftStarts {
    pub(super) starts: Vec<(usize, Start)>,
    now: Timestamp,
}

#[async_trait]
impl Work for LeftStarts {
    type Output = Answers;

    async fn run(&self, tx: &mut PgConnection) -> Result<Answers, EngineError> {
        let ids = self.starts.iter().map(|(_, start)| start.job).collect();
        let mut jobs = LoadedJobs::load(tx, ids, self.now).await.doing("starting jobs")?;
        let mut answer = |start: &Start| jobs.find(start.job).map_or(Started::Stale, |job| job.start(*start));
        let answers = self.starts.iter().map(|(place, start)| (*place, answer(start))).collect();
        jobs.store(tx).await.doing("starting jobs")?;
        Ok(answers)
    }
}
