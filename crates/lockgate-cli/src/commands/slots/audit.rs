//! `slots audit`: checks that a pool never exceeded its slots, in the hold history of its store and in the
//! backend's own count.
//!
//! The output says which time the history covers: a time that it does not cover is never reported as checked.

mod view;

use std::collections::HashSet;

use clap::Args;
use lockgate::core::LeaseId;
use lockgate::core::audit::{Evidence, audit};
use lockgate::core::history::HistoryPage;
use lockgate::core::ledger::JobQuery;
use lockgate::core::run::{RunRow, RunStatus, RunSummary};
use lockgate::core::slots::{PoolQuery, PoolView as Inspected};
use lockgate::{Lockgate, PoolName, RunName, Timestamp};

use super::{no_pool, with_remedy};
use crate::commands::runs::find;
use crate::context::CommandContext;
use crate::program::{BackendQuery, Window};
use crate::{Exit, Problem};
use view::{AuditOutput, RunShare};

/// Jobs that one query reads.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// Name of the pool
    pool: PoolName,

    /// Check only the time of this run, by name or id, and count the slots of its jobs; all holds of that
    /// time are checked
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,
}

impl AuditArgs {
    pub(super) async fn run(self, context: &CommandContext) -> anyhow::Result<Exit> {
        let lockgate = context.lockgate().await?;
        let mut evidence = self.evidence(lockgate).await?;
        let run_share = match &self.run {
            Some(name) => {
                let run = find(lockgate, name, true).await?;
                let run_share = self.run_share(lockgate, &run.run, &evidence).await?;
                evidence = evidence.during(run.run.created_at, end_of(&run, &evidence));
                Some(run_share)
            }
            None => None,
        };
        let verdict = audit(&evidence);
        let executions = evidence.holds().iter().map(|hold| (hold.lease, hold.fence)).collect();
        let window = Window { from: verdict.since, to: verdict.until };
        let query = BackendQuery { pool: &self.pool, window, executions: &executions };
        let (backend, backend_error) = match context.program().backend_count(lockgate, &query).await {
            Ok(count) => (count, None),
            // The hold history is checked without the backend's count.
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let output = AuditOutput::new(&self.pool, &verdict, run_share, backend, backend_error);
        context.terminal().show(&output, |style| output.describe(style))?;
        Ok(if output.kept { Exit::Ok } else { Exit::Negative })
    }

    /// Reads all pages of the hold history, and the holders at the time of the first page.
    async fn evidence(&self, lockgate: &Lockgate) -> anyhow::Result<Evidence> {
        let first = self.page(lockgate, 0).await?;
        let mut evidence = Evidence::first(&first).ok_or_else(|| self.no_history())?;
        let mut next = first.history.and_then(|page| page.next);
        while let Some(after) = next {
            let page: HistoryPage =
                self.page(lockgate, after).await?.history.ok_or_else(|| self.no_history())?;
            // Entries after the first page was read are not checked. Reading them would never end on a busy
            // store.
            let is_later = page.entries.first().is_some_and(|entry| entry.number() > evidence.now.number);
            evidence.add(&page);
            next = page.next.filter(|_| !is_later);
        }
        Ok(evidence)
    }

    async fn page(&self, lockgate: &Lockgate, after: u64) -> anyhow::Result<Inspected> {
        let query = PoolQuery::history(&self.pool, after);
        let pool = lockgate.engine.slots.inspect(&query).await.map_err(with_remedy)?.pop();
        Ok(pool.ok_or_else(|| no_pool(self.pool.as_str()))?)
    }

    fn no_history(&self) -> Problem {
        Problem::new(
            Exit::Internal,
            format!("the slot store of pool {} has no hold history; report this as a bug", self.pool),
        )
    }

    async fn run_share(
        &self,
        lockgate: &Lockgate,
        run: &RunRow,
        evidence: &Evidence,
    ) -> anyhow::Result<RunShare> {
        let held: HashSet<LeaseId> = evidence.holds().iter().map(|hold| hold.lease).collect();
        let mut leases = HashSet::new();
        let mut query = JobQuery { run: Some(run.id), limit: PAGE_SIZE, ..JobQuery::default() };
        loop {
            let page = lockgate.engine.ledger.jobs(query.clone()).await?;
            query.after = page.last().map(|job| job.id);
            leases.extend(page.iter().map(|job| LeaseId::from(job.id)).filter(|id| held.contains(id)));
            if query.after.is_none() {
                break;
            }
        }
        let of_run = evidence.only(|lease| leases.contains(&lease));
        let began_at = run.created_at;
        let complete = Timestamp(evidence.since.at_ms) <= began_at;
        Ok(RunShare::new(
            run.name.to_string(),
            began_at,
            complete,
            (of_run.holds().len(), audit(&of_run).peak),
        ))
    }
}

/// Returns the last settlement of the run, or the time of the first page if the run is not finished.
fn end_of(run: &RunSummary, evidence: &Evidence) -> Timestamp {
    let settled = run.timing.filter(|_| run.status() == RunStatus::Finished).map(|timing| timing.last);
    settled.unwrap_or(Timestamp(evidence.now.at_ms))
}
