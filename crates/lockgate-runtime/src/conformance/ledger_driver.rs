//! Drives a ledger through the calls of planners, dispatchers, workers and operators. After each call it
//! checks that every run is balanced (invariant 1).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use lockgate_core::job::{JobRow, JobState, Outcome};
use lockgate_core::ledger::{
    Execution, JobQuery, Ledger, PlanStep, Planned, Report, RunCommand, RunQuery, Settled, Settlement,
    SettlementToken, Start, StartDurability, Started, Sweep, Swept,
};
use lockgate_core::run::{RunSpec, RunSummary};
use lockgate_core::{EngineError, Envelope, JobId, RunId, RunName};

use super::Fixture;
use super::samples::{LONG, manifest};

pub(super) struct LedgerDriver {
    pub(super) ledger: Arc<dyn Ledger>,
}

impl LedgerDriver {
    pub(super) fn new(fixture: &dyn Fixture) -> Self {
        Self { ledger: fixture.engine().ledger }
    }

    pub(super) async fn step(&self, step: PlanStep) -> Planned {
        let planned = self.ledger.plan(step).await.unwrap();
        self.check().await;
        planned
    }

    /// Plans and seals a run with the keys `k0` to `k<n - 1>`.
    pub(super) async fn plan(&self, spec: RunSpec, n: u32) -> RunId {
        let run = self.step(PlanStep::Open(spec)).await.run.id;
        self.step(PlanStep::Append { run, jobs: manifest(0..n) }).await;
        self.step(PlanStep::Seal { run }).await;
        run
    }

    /// Claims everything that is due.
    pub(super) async fn claim(&self) -> Vec<Envelope> {
        self.claim_for(LONG).await
    }

    pub(super) async fn claim_for(&self, hold: Duration) -> Vec<Envelope> {
        let claimed = self.ledger.claim(1_000, hold).await.unwrap();
        self.check().await;
        claimed.envelopes
    }

    /// Claims one job. Panics unless exactly one is due.
    pub(super) async fn claim_one(&self) -> Envelope {
        let mut claimed = self.claim().await;
        assert_eq!(claimed.len(), 1, "exactly one job should be due: {claimed:?}");
        claimed.remove(0)
    }

    /// Claims one job and reports it as published.
    pub(super) async fn dispatch_one(&self) -> Envelope {
        let envelope = self.claim_one().await;
        assert_eq!(self.published(&envelope).await, Settled::Recorded(JobState::Enqueued));
        envelope
    }

    pub(super) async fn published(&self, envelope: &Envelope) -> Settled {
        let report = Report::Published { job: envelope.job, dispatch: envelope.dispatch };
        self.report(report).await
    }

    /// Starts the job of a delivery, with a new start token on each call.
    pub(super) async fn start(&self, envelope: &Envelope) -> Started {
        static LAST: AtomicI64 = AtomicI64::new(1_000);
        self.start_by(envelope, LAST.fetch_add(1, Ordering::Relaxed)).await
    }

    pub(super) async fn start_by(&self, envelope: &Envelope, token: i64) -> Started {
        self.start_as(envelope, token, StartDurability::Now).await
    }

    pub(super) async fn start_as(
        &self,
        envelope: &Envelope,
        token: i64,
        durability: StartDurability,
    ) -> Started {
        let mut answers = self.ledger.start(vec![Self::a_start(envelope, token, durability)]).await.unwrap();
        self.check().await;
        assert_eq!(answers.len(), 1, "one answer for one start");
        answers.remove(0)
    }

    pub(super) fn a_start(envelope: &Envelope, token: i64, durability: StartDurability) -> Start {
        Start { job: envelope.job, dispatch: envelope.dispatch, token, durability }
    }

    /// Starts the job of a delivery. Panics when the start is refused.
    pub(super) async fn run(&self, envelope: &Envelope) -> Execution {
        match self.start(envelope).await {
            Started::Run(execution) => execution,
            other => panic!("the start was refused: {other:?}"),
        }
    }

    pub(super) async fn settle(&self, job: JobId, by: SettlementToken, outcome: Outcome) -> Settled {
        let (waited, ran) = (Duration::from_millis(7), Duration::from_millis(11));
        self.report(Report::Settled(Settlement { job, token: by, outcome, waited, ran })).await
    }

    async fn report(&self, report: Report) -> Settled {
        let mut answers = self.ledger.settle(vec![report]).await.unwrap();
        self.check().await;
        assert_eq!(answers.len(), 1, "one answer for one report");
        answers.remove(0)
    }

    /// Dispatches and starts the only due job, and settles it with this outcome.
    pub(super) async fn work(&self, outcome: Outcome) -> (Envelope, Settled) {
        let envelope = self.dispatch_one().await;
        let execution = self.run(&envelope).await;
        let settled = self.settle(envelope.job, SettlementToken::Execution(execution.number), outcome).await;
        (envelope, settled)
    }

    pub(super) async fn command(&self, command: RunCommand) -> Result<u64, EngineError> {
        let answer = self.ledger.control(command).await;
        self.check().await;
        answer
    }

    /// Sweeps one portion and returns how many jobs it changed.
    pub(super) async fn sweep(&self, sweep: Sweep) -> u64 {
        self.portion(sweep, 1_000).await.jobs
    }

    pub(super) async fn portion(&self, sweep: Sweep, limit: u32) -> Swept {
        let swept = self.ledger.sweep(sweep, limit).await.unwrap();
        self.check().await;
        swept
    }

    pub(super) async fn job(&self, id: JobId) -> JobRow {
        let query = JobQuery { ids: vec![id], ..JobQuery::default() };
        let mut found = self.ledger.jobs(query).await.unwrap();
        assert_eq!(found.len(), 1, "one job has this id");
        found.remove(0)
    }

    pub(super) async fn jobs(&self, query: JobQuery) -> Vec<JobRow> {
        self.ledger.jobs(query).await.unwrap()
    }

    pub(super) async fn summary(&self, run: RunId) -> RunSummary {
        let name = RunName::new(run.to_string()).unwrap();
        let mut found = self.runs(RunQuery { run: Some(name), ..RunQuery::default() }).await;
        assert_eq!(found.len(), 1, "one run has this id");
        found.remove(0)
    }

    pub(super) async fn runs(&self, query: RunQuery) -> Vec<RunSummary> {
        self.ledger.runs(query).await.unwrap()
    }

    /// Checks that every run is balanced.
    async fn check(&self) {
        for summary in self.runs(RunQuery::default()).await {
            assert!(summary.balanced(), "{summary:?}");
        }
    }
}

pub(super) fn retry(after: Duration) -> Outcome {
    Outcome::Retry { after, error: "query failed".to_owned() }
}

pub(super) fn deferred(after: Duration) -> Outcome {
    Outcome::Deferred { after, reason: "no slot".to_owned() }
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed { error: "query failed".to_owned() }
}

pub(super) fn skipped() -> Outcome {
    Outcome::Skipped { reason: "nothing to do".to_owned() }
}
