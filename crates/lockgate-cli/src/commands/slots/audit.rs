//! `slots audit`: whether a pool kept its promise, told from the record of its store and from the backend's own count.
//!
//! It must never call a promise kept because it could not look: what the record does not cover is said.

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

use super::{no_pool, with_way_out};
use crate::commands::runs::find;
use crate::program::{BackendQuery, Window};
use crate::session::Session;
use crate::{Exit, Problem};
use view::{Audited, OfRun};

/// Jobs of a run read at once.
const PAGE_SIZE: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// The pool
    pool: PoolName,

    /// Judge the time of this run alone, by its name or id, and count the slots of its jobs; the pool is judged by all
    /// holds of that time
    #[arg(long, value_name = "RUN")]
    run: Option<RunName>,
}

impl Audit {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let lockgate = session.lockgate().await?;
        let mut evidence = self.evidence(lockgate).await?;
        let of_run = match &self.run {
            Some(name) => {
                let run = find(lockgate, name, true).await?;
                let of_run = self.of_run(lockgate, &run.run, &evidence).await?;
                evidence = evidence.during(run.run.created_at, end_of(&run, &evidence));
                Some(of_run)
            }
            None => None,
        };
        let judged = audit(&evidence);
        let executions = evidence.holds().iter().map(|hold| (hold.lease, hold.fence)).collect();
        let window = Window { from: judged.since, to: judged.until };
        let query = BackendQuery { pool: &self.pool, window, executions: &executions };
        let (backend, silence) = match session.program().backend_count(lockgate, &query).await {
            Ok(count) => (count, None),
            // What is on record is judged all the same.
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let audited = Audited::new(&self.pool, &judged, of_run, backend, silence);
        session.terminal().show(&audited, |look| audited.describe(look))?;
        Ok(if audited.kept { Exit::Ok } else { Exit::Negative })
    }

    /// All pages of the record, and who held slots when the first was read.
    async fn evidence(&self, lockgate: &Lockgate) -> anyhow::Result<Evidence> {
        let first = self.page(lockgate, 0).await?;
        let mut evidence = Evidence::first(&first).ok_or_else(|| self.no_record())?;
        let mut next = first.history.and_then(|page| page.next);
        while let Some(after) = next {
            let page: HistoryPage =
                self.page(lockgate, after).await?.history.ok_or_else(|| self.no_record())?;
            // What came after the first page is not judged: it need not be read, and a busy store would never end.
            let is_later = page.entries.first().is_some_and(|entry| entry.number() > evidence.now.number);
            evidence.add(&page);
            next = page.next.filter(|_| !is_later);
        }
        Ok(evidence)
    }

    async fn page(&self, lockgate: &Lockgate, after: u64) -> anyhow::Result<Inspected> {
        let query = PoolQuery::history(&self.pool, after);
        let found = lockgate.engine.slots.inspect(&query).await.map_err(with_way_out)?.pop();
        Ok(found.ok_or_else(|| no_pool(self.pool.as_str()))?)
    }

    fn no_record(&self) -> Problem {
        Problem::new(Exit::Internal, format!("the slot store of pool {} keeps no record", self.pool))
    }

    async fn of_run(&self, lockgate: &Lockgate, run: &RunRow, evidence: &Evidence) -> anyhow::Result<OfRun> {
        let held: HashSet<LeaseId> = evidence.holds().iter().map(|hold| hold.lease).collect();
        let mut of_run = HashSet::new();
        let mut query = JobQuery { run: Some(run.id), limit: PAGE_SIZE, ..JobQuery::default() };
        loop {
            let page = lockgate.engine.ledger.jobs(query.clone()).await?;
            query.after = page.last().map(|job| job.id);
            of_run.extend(page.iter().map(|job| LeaseId::from(job.id)).filter(|id| held.contains(id)));
            if query.after.is_none() {
                break;
            }
        }
        let theirs = evidence.only(|lease| of_run.contains(&lease));
        let began_at = run.created_at;
        let whole = Timestamp(evidence.since.at_ms) <= began_at;
        Ok(OfRun::new(run.name.to_string(), began_at, whole, (theirs.holds().len(), audit(&theirs).peak)))
    }
}

/// When the run had its last settlement, or when the record was read while it is not over.
fn end_of(run: &RunSummary, evidence: &Evidence) -> Timestamp {
    let settled = run.timing.filter(|_| run.status() == RunStatus::Finished).map(|timing| timing.last);
    settled.unwrap_or(Timestamp(evidence.now.at_ms))
}
