//! Settlements and reports of publishing, one statement for each kind.
//!
//! A report that is older than the latest dispatch or execution of its job does not count. The conditions of
//! the statements decide that. When a call has several reports about one job, their order matters: they are
//! applied in rounds of at most one report for each job.

use std::collections::HashMap;

use async_trait::async_trait;
use lockgate_core::JobId;
use lockgate_core::error::EngineError;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Report, Settled, Settlement, SettlementToken};
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, Event};
use sqlx::{PgConnection, Row};

use crate::columns::{integer, narrow_millis, read_name, sql, storable};
use crate::database::{Doing, Work};

/// The reports of one call.
pub(super) struct Settle {
    reports: Vec<Report>,
    /// Ledger time.
    now: Timestamp,
    rounds: Vec<Round>,
}

/// Indexes of reports, no job twice, ordered by job id. All processes lock rows in this order, so they do not
/// deadlock.
#[derive(Default)]
struct Round {
    published: Vec<usize>,
    settled: Vec<usize>,
}

impl Settle {
    pub(super) fn new(reports: Vec<Report>, now: Timestamp) -> Self {
        let mut rounds: Vec<Round> = Vec::new();
        let mut reports_of: HashMap<JobId, usize> = HashMap::with_capacity(reports.len());
        let mut order: Vec<usize> = (0..reports.len()).collect();
        // The sort is stable, so reports of one job stay in their order.
        order.sort_by_key(|index| reports.get(*index).map(job_of));
        for index in order {
            let Some(report) = reports.get(index) else { continue };
            let times = reports_of.entry(job_of(report)).or_default();
            if rounds.len() <= *times {
                rounds.push(Round::default());
            }
            if let Some(round) = rounds.get_mut(*times) {
                match report {
                    Report::Published { .. } => round.published.push(index),
                    Report::Settled(_) => round.settled.push(index),
                }
            }
            *times += 1;
        }
        Self { reports, now, rounds }
    }

    /// Returns how many statements are needed. More than one need a transaction.
    pub(super) fn rounds(&self) -> usize {
        let statements =
            |round: &Round| usize::from(!round.published.is_empty()) + usize::from(!round.settled.is_empty());
        self.rounds.iter().map(statements).sum()
    }
}

#[async_trait]
impl Work for Settle {
    type Output = Vec<Settled>;

    async fn run(&self, connection: &mut PgConnection) -> Result<Vec<Settled>, EngineError> {
        let mut answers = vec![Settled::Stale; self.reports.len()];
        for round in &self.rounds {
            let changes = [
                self.publish(connection, &round.published).await.doing("settling jobs")?,
                self.settle(connection, &round.settled).await.doing("settling jobs")?,
            ];
            for (index, state) in changes.into_iter().flatten() {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = Settled::Recorded(state);
                }
            }
        }
        Ok(answers)
    }
}

/// The indexes of reports that changed a job, with its new state.
type Changes = Vec<(usize, JobState)>;

impl Settle {
    async fn publish(&self, connection: &mut PgConnection, indexes: &[usize]) -> sqlx::Result<Changes> {
        let reports = || {
            indexes.iter().filter_map(|index| match self.reports.get(*index)? {
                Report::Published { job, dispatch } => Some((*index, *job, *dispatch)),
                Report::Settled(_) => None,
            })
        };
        if indexes.is_empty() {
            return Ok(Changes::new());
        }
        let rows = sqlx::query(sql!("ledger/publish_jobs"))
            .bind(reports().map(|(_, job, _)| job.0).collect::<Vec<_>>())
            .bind(reports().map(|(_, _, dispatch)| integer(dispatch)).collect::<Vec<_>>())
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        let by_job: HashMap<JobId, usize> = reports().map(|(index, job, _)| (job, index)).collect();
        let changes =
            |row| index_of(row, &by_job).map(|index| index.map(|index| (index, JobState::Enqueued)));
        rows.iter().filter_map(|row| changes(row).transpose()).collect()
    }

    async fn settle(&self, connection: &mut PgConnection, indexes: &[usize]) -> sqlx::Result<Changes> {
        let mut columns = Columns::with_capacity(indexes.len());
        let mut by_job = HashMap::with_capacity(indexes.len());
        for index in indexes {
            if let Some(Report::Settled(settlement)) = self.reports.get(*index) {
                columns.push(settlement);
                by_job.insert(settlement.job, *index);
            }
        }
        if indexes.is_empty() {
            return Ok(Changes::new());
        }
        let rows = sqlx::query(sql!("ledger/settle_jobs"))
            .bind(columns.jobs)
            .bind(columns.executions)
            .bind(columns.dispatches)
            .bind(columns.states)
            .bind(columns.after)
            .bind(columns.deferred)
            .bind(columns.reasons)
            .bind(columns.waited)
            .bind(columns.ran)
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        let changes =
            |row| index_of(row, &by_job)?.map(|index| Ok((index, read_name(row, "state")?))).transpose();
        rows.iter().filter_map(|row| changes(row).transpose()).collect()
    }
}

fn index_of(row: &sqlx::postgres::PgRow, by_job: &HashMap<JobId, usize>) -> sqlx::Result<Option<usize>> {
    Ok(by_job.get(&JobId(row.try_get("id")?)).copied())
}

/// Settlements as columns for `settle_jobs`.
#[derive(Default)]
struct Columns {
    jobs: Vec<uuid::Uuid>,
    executions: Vec<Option<i32>>,
    dispatches: Vec<Option<i32>>,
    states: Vec<&'static str>,
    after: Vec<Option<i64>>,
    deferred: Vec<bool>,
    reasons: Vec<Option<String>>,
    waited: Vec<i32>,
    ran: Vec<i32>,
}

impl Columns {
    fn with_capacity(rows: usize) -> Self {
        Self { jobs: Vec::with_capacity(rows), ..Self::default() }
    }

    fn push(&mut self, settlement: &Settlement) {
        let Settlement { job, token: by, outcome, waited, ran } = settlement;
        let (execution, dispatch) = match by {
            SettlementToken::Execution(number) => (Some(*number), None),
            SettlementToken::Unrecorded { dispatch, number } => (Some(*number), Some(*dispatch)),
            SettlementToken::Delivery(dispatch) => (None, Some(*dispatch)),
        };
        // An outcome leads to the same state from every state that is not terminal, so any of them will do
        // here.
        let Some(state) = transition::next(JobState::Enqueued, Event::Ended(outcome.into())) else { return };
        let after = match outcome {
            Outcome::Retry { after, .. } | Outcome::Deferred { after, .. } => Some(millis(*after)),
            _ => None,
        };
        self.jobs.push(job.0);
        self.executions.push(execution.map(integer));
        self.dispatches.push(dispatch.map(integer));
        self.states.push(state.as_str());
        self.after.push(after);
        self.deferred.push(matches!(outcome, Outcome::Deferred { .. }));
        self.reasons.push(outcome.reason().map(storable));
        self.waited.push(narrow_millis(*waited));
        self.ran.push(narrow_millis(*ran));
    }
}

fn job_of(report: &Report) -> JobId {
    match report {
        Report::Published { job, .. } | Report::Settled(Settlement { job, .. }) => *job,
    }
}
