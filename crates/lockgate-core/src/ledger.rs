//! The ledger port: the durable record of runs and jobs, and the source of truth.
//!
//! Every method is one transaction. The ledger keeps a time of its own (see [`crate::ledger_clock`]): callers
//! pass no time, and a step of a wall clock changes no due time. A call whose answer was lost may be
//! repeated, because repeating any of them changes nothing.

mod command;

use std::time::Duration;

use async_trait::async_trait;

use crate::envelope::Envelope;
use crate::error::EngineError;
use crate::id::{JobId, RunId};
use crate::job::{JobRow, JobState, Outcome};
use crate::name::{Key, QueueName, RunName};
pub use command::RunCommand;

pub use crate::planning::{Ingestion, PlanStep, Planned, PlannedJob, ingested_key};
use crate::run::RunSummary;
use crate::time::Timestamp;

/// The durable record of runs and jobs.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Plans a run in steps, so that a manifest of any length needs little memory. A planning that was
    /// interrupted continues under the same name.
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError>;

    /// Claims due batches and retries for this caller to publish within `hold`. What is not reported as
    /// published by then is due again.
    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError>;

    /// Decides which jobs may run. Records their starts now or later, as [`Start::durability`] says. Returns
    /// the answers in the order of the starts.
    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError>;

    /// Records reports about jobs. A late report changes nothing and is answered with [`Settled::Stale`].
    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError>;

    /// Reads runs, the newest first. The counts of each run belong to one instant.
    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError>;

    /// Reads jobs in the order in which they were planned.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError>;

    /// Applies an operator's command and returns how many jobs or runs it changed.
    async fn control(&self, command: RunCommand) -> Result<u64, EngineError>;

    /// Does one portion of upkeep, on at most `limit` jobs. The caller repeats it while [`Swept::more`].
    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError>;
}

/// Messages to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Empty: nothing is due.
    pub envelopes: Vec<Envelope>,
    /// Time until the next batch or retry is due, as far as the ledger knows now. `None`: nothing is planned.
    pub next_due: Option<Duration>,
}

/// A job that a worker is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The job to start.
    pub job: JobId,
    /// The number of the dispatch that was delivered.
    pub dispatch: u32,
    /// A random number for this start. Repeating it while the execution that it started is unsettled is the
    /// same start, whose answer was lost: the answer is the same execution, and no attempt is used.
    pub token: i64,
    /// When the start becomes durable.
    pub durability: StartDurability,
}

/// When a start becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartDurability {
    /// Before the job runs.
    Now,
    /// With the settlement, if the job ends soon. If the job has an unsettled start, the ledger records this
    /// one now, because that is how a job that kills its process is found.
    Later,
    /// Never: this only checks a delivery before it waits for slots and tokens, so that stale deliveries take
    /// none. The start is requested again after admission. Paused, expired and poison jobs are handled as at
    /// any other start.
    Never,
    /// The start with this execution number was left for later, and the job still runs. A pause or deadline
    /// that came since does not matter.
    Underway(u32),
}

/// The ledger's answer to a [`Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// Run the job.
    Run(Execution),
    /// The job is finished or unknown, or a later dispatch of it exists. Drop this delivery.
    Stale,
    /// Its run is paused, and the job is scheduled again. Drop this delivery.
    Paused,
    /// The deadline of its run has passed, and the job is now skipped. Drop this delivery.
    Expired,
    /// Its process has died during three starts, and the job has now failed. Drop this delivery.
    Poisoned,
}

/// One execution of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The number of starts of the job, including this one. It never decreases, unlike the attempt, which a
    /// deferral returns.
    pub number: u32,
    /// The start, in ledger time.
    pub started_at: Timestamp,
    /// Whether the start is durable. If not, [`SettlementToken::Unrecorded`] settles it.
    pub recorded: bool,
    /// Deferrals in a row before this execution: see [`crate::transition::deferrals_in_row`].
    pub deferrals: u32,
}

/// An event of a job that the ledger records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The broker has confirmed the message of this dispatch.
    Published {
        /// The job that was published.
        job: JobId,
        /// The number of the published dispatch. An older one changes nothing.
        dispatch: u32,
    },
    /// A delivery of the job has ended.
    Settled(Settlement),
}

impl Report {
    /// Cuts texts and durations to their bounds. Every ledger applies this first.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Settled(settlement) => {
                Self::Settled(Settlement { outcome: settlement.outcome.bounded(), ..settlement })
            }
            published @ Self::Published { .. } => published,
        }
    }
}

/// The end of one delivery of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The job to settle.
    pub job: JobId,
    /// Proves that no newer delivery or execution exists.
    pub token: SettlementToken,
    /// The outcome, which decides the next state.
    pub outcome: Outcome,
    /// The wait for slots.
    pub waited: Duration,
    /// The duration of the execution. Zero: the job did not start.
    pub ran: Duration,
}

/// Gives a settlement the right to change its job. The ledger accepts only the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementToken {
    /// The delivery of this dispatch, which never started the job.
    Delivery(u32),
    /// The execution with this number.
    Execution(u32),
    /// The execution with this number, whose start is recorded together with this settlement. It is rejected
    /// if another start was recorded meanwhile.
    Unrecorded {
        /// The dispatch that was delivered.
        dispatch: u32,
        /// See [`Execution::number`].
        number: u32,
    },
}

/// The ledger's answer to a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The settlement counts, and the job is now in this state.
    Recorded(JobState),
    /// The job is finished or unknown, or something newer has happened to it. Nothing was changed.
    Stale,
}

/// Which runs to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only the run with this name or id.
    pub run: Option<RunName>,
    /// Whether to compute [`RunSummary::timing`], which reads every job of the run.
    pub timing: bool,
    /// Page size. 0 means 100.
    pub limit: u32,
}

/// Which jobs to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only jobs of this run.
    pub run: Option<RunId>,
    /// Only jobs in one of these states. Empty: any state.
    pub states: Vec<JobState>,
    /// Only jobs with this key.
    pub key: Option<Key>,
    /// Only these jobs. Empty: any job.
    pub ids: Vec<JobId>,
    /// Only jobs whose key does not occur in this run.
    pub absent_from: Option<RunId>,
    /// Only jobs after this one: the last job of the previous page.
    pub after: Option<JobId>,
    /// Page size. 0 means 100.
    pub limit: u32,
}

/// A kind of upkeep. Each call of [`Ledger::sweep`] does a bounded portion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sweep {
    /// Skips unfinished jobs of runs whose deadline has passed.
    Overdue,
    /// Makes jobs of one queue due again whose message was lost: published at least `silent_for` ago, and
    /// neither started nor settled since. Jobs of other queues are left alone, because only a consumer of a
    /// queue can tell that the broker has no message of it any more.
    Lost {
        /// The queue that the jobs were published to.
        queue: QueueName,
        /// The minimum time since the publication.
        silent_for: Duration,
    },
    /// Deletes runs that finished at least `keep` ago, with their jobs.
    Finished {
        /// How long finished runs are kept, at most [`LONGEST_KEEP`](crate::bounds::LONGEST_KEEP).
        keep: Duration,
    },
}

/// The result of one portion of a [`Sweep`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that were skipped, made due again or deleted.
    pub jobs: u64,
    /// Whether another portion may find more.
    pub more: bool,
}
