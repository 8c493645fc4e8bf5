//! Settlements and reports of publishing: one statement for each kind, whatever they come to.
//!
//! It must never let a report count that is older than the latest dispatch or execution of its job.
//!
//! The statements' conditions say all there is to decide. Only the order matters when a call says two things of one
//! job: then it is carried out in rounds, each of which says one.

use std::collections::HashMap;

use async_trait::async_trait;
use lockgate_core::JobId;
use lockgate_core::error::EngineError;
use lockgate_core::job::{JobState, Outcome};
use lockgate_core::ledger::{Report, Settled, Settlement, SettlementToken};
use lockgate_core::time::{Timestamp, millis};
use lockgate_core::transition::{self, Event};
use sqlx::{PgConnection, Row};

use crate::columns::{integer, name, narrow_millis, sql, storable};
use crate::database::{Doing, Work};

/// The reports of one call.
pub(super) struct Settle {
    reports: Vec<Report>,
    /// Ledger time.
    now: Timestamp,
    rounds: Vec<Round>,
}

/// Places of reports, no job twice, in the order of the jobs' ids: so rows are locked, by whoever settles them.
#[derive(Default)]
struct Round {
    published: Vec<usize>,
    settled: Vec<usize>,
}

impl Settle {
    pub(super) fn new(reports: Vec<Report>, now: Timestamp) -> Self {
        let mut rounds: Vec<Round> = Vec::new();
        let mut said: HashMap<JobId, usize> = HashMap::with_capacity(reports.len());
        let mut order: Vec<usize> = (0..reports.len()).collect();
        // Stable: reports of one job stay in their order.
        order.sort_by_key(|place| reports.get(*place).map(job_of));
        for place in order {
            let Some(report) = reports.get(place) else { continue };
            let times = said.entry(job_of(report)).or_default();
            if rounds.len() <= *times {
                rounds.push(Round::default());
            }
            if let Some(round) = rounds.get_mut(*times) {
                match report {
                    Report::Published { .. } => round.published.push(place),
                    Report::Settled(_) => round.settled.push(place),
                }
            }
            *times += 1;
        }
        Self { reports, now, rounds }
    }

    /// How many statements it takes: more than one need a transaction.
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
            let news = [
                self.publish(connection, &round.published).await.doing("settling jobs")?,
                self.settle(connection, &round.settled).await.doing("settling jobs")?,
            ];
            for (place, state) in news.into_iter().flatten() {
                if let Some(answer) = answers.get_mut(place) {
                    *answer = Settled::Recorded(state);
                }
            }
        }
        Ok(answers)
    }
}

/// The places of reports that were news, with the state of their job.
type News = Vec<(usize, JobState)>;

impl Settle {
    async fn publish(&self, connection: &mut PgConnection, places: &[usize]) -> sqlx::Result<News> {
        let reports = || {
            places.iter().filter_map(|place| match self.reports.get(*place)? {
                Report::Published { job, dispatch } => Some((*place, *job, *dispatch)),
                Report::Settled(_) => None,
            })
        };
        if places.is_empty() {
            return Ok(News::new());
        }
        let rows = sqlx::query(sql!("ledger/publish_jobs"))
            .bind(reports().map(|(_, job, _)| job.0).collect::<Vec<_>>())
            .bind(reports().map(|(_, _, dispatch)| integer(dispatch)).collect::<Vec<_>>())
            .bind(self.now.0)
            .fetch_all(connection)
            .await?;
        let by_job: HashMap<JobId, usize> = reports().map(|(place, job, _)| (job, place)).collect();
        let news = |row| place_of(row, &by_job).map(|place| place.map(|place| (place, JobState::Enqueued)));
        rows.iter().filter_map(|row| news(row).transpose()).collect()
    }

    async fn settle(&self, connection: &mut PgConnection, places: &[usize]) -> sqlx::Result<News> {
        let mut columns = Columns::with_capacity(places.len());
        let mut by_job = HashMap::with_capacity(places.len());
        for place in places {
            if let Some(Report::Settled(settlement)) = self.reports.get(*place) {
                columns.push(settlement);
                by_job.insert(settlement.job, *place);
            }
        }
        if places.is_empty() {
            return Ok(News::new());
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
        let news = |row| place_of(row, &by_job)?.map(|place| Ok((place, name(row, "state")?))).transpose();
        rows.iter().filter_map(|row| news(row).transpose()).collect()
    }
}

fn place_of(row: &sqlx::postgres::PgRow, by_job: &HashMap<JobId, usize>) -> sqlx::Result<Option<usize>> {
    Ok(by_job.get(&JobId(row.try_get("id")?)).copied())
}

/// Settlements as `settle_jobs` reads them.
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
        // The end of every job that is not over is the same, so any such state says where an outcome leads.
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
