//! The ledger port: the durable record of runs and jobs, and the source of truth.
//!
//! Every method is one transaction. The ledger keeps a time of its own, see [`crate::ledger_clock`]: no
//! caller says what time it is, and no step of a wall clock moves what is due. A call whose answer is lost
//! may be repeated: each is written so that twice is once.

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
    /// Plans a run, step by step, so that a manifest of any length is planned in little memory, and a
    /// planning that was cut off is taken up again under the same name.
    async fn plan(&self, step: PlanStep) -> Result<Planned, EngineError>;

    /// Claims what is due, batches and retries, for this caller to publish within `hold`. What is not
    /// reported as published by then is due again.
    async fn claim(&self, limit: u32, hold: Duration) -> Result<Claimed, EngineError>;

    /// Decides which jobs may run, and records their starts, or leaves that for later. Answers in the order
    /// of the starts.
    async fn start(&self, starts: Vec<Start>) -> Result<Vec<Started>, EngineError>;

    /// Records what happened to jobs. A report that is late changes nothing, and its answer says so.
    async fn settle(&self, reports: Vec<Report>) -> Result<Vec<Settled>, EngineError>;

    /// Reads runs, the newest first, each balanced in itself.
    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, EngineError>;

    /// Reads jobs, in the order of their planning.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRow>, EngineError>;

    /// Applies an operator's command and returns how many jobs or runs it changed.
    async fn control(&self, command: RunCommand) -> Result<u64, EngineError>;

    /// Does one portion of upkeep, on at most `limit` jobs. The caller repeats it as long as there is more.
    async fn sweep(&self, sweep: Sweep, limit: u32) -> Result<Swept, EngineError>;
}

/// What is to be published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The messages. Empty: nothing is due.
    pub envelopes: Vec<Envelope>,
    /// How long until something falls due, as far as the ledger knows now.
    pub next_due: Option<Duration>,
}

/// A job that a worker is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The job to start.
    pub job: JobId,
    /// From the delivery of which dispatch.
    pub dispatch: u32,
    /// Acquired at random for this start. The same token again, while the execution that it began is
    /// unsettled, is the same start said twice, because its answer was lost: it is answered with the same
    /// execution, and uses no attempt.
    pub token: i64,
    /// When it has to be on record.
    pub durability: StartDurability,
}

/// When a start has to be on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartDurability {
    /// Before the job runs.
    Now,
    /// With its settlement, if the job is over soon. The ledger records it now all the same where a start of
    /// the job stands unsettled: that is how a job is found that kills its processes.
    Later,
    /// Not at all: the delivery has not been admitted yet, and whether it may still start its job is asked so
    /// that one that may not takes no slots and no tokens. It is asked again when it has been admitted. A job
    /// whose run is paused goes back to its place, and one that has expired or is poisoned ends, as at any
    /// other start.
    Never,
    /// Its recording was left for later, its execution has this number, and it still runs: neither a pause
    /// nor a deadline that came since speaks against it.
    Underway(u32),
}

/// The ledger's answer to a [`Start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// Run it.
    Run(Execution),
    /// The job is over, unknown, or a later dispatch of it is on its way: drop this delivery.
    Stale,
    /// Its run is paused; the job is back at its place. Drop this delivery.
    Paused,
    /// Its run's deadline has passed; the job is skipped now. Drop this delivery.
    Expired,
    /// It was started three times and its process died each time; the job is failed now. Drop this delivery.
    Poisoned,
}

/// One execution of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// The attempt that it is, from 1.
    pub attempt: u32,
    /// How often the job was started, this time included. Never goes back, unlike the attempt, which a
    /// deferral gives back.
    pub number: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether its start is on record. If not, [`SettlementToken::Unrecorded`] settles it.
    pub recorded: bool,
    /// How often the job was deferred in a row before, see [`crate::transition::deferrals_in_row`].
    pub deferrals: u32,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The broker has confirmed the message of this dispatch.
    Published {
        /// The job that was published.
        job: JobId,
        /// The number of the published dispatch. An older one changes nothing.
        dispatch: u32,
    },
    /// A delivery of the job came to this.
    Settled(Settlement),
}

impl Report {
    /// The same report within its bounds. Every ledger applies it first.
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

/// What a delivery of a job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The job to settle.
    pub job: JobId,
    /// What gives the right to say so.
    pub token: SettlementToken,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it waited for slots.
    pub waited: Duration,
    /// How long it ran.
    pub ran: Duration,
}

/// What gives a settlement the right to change its job: nothing older than the latest may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettlementToken {
    /// The delivery of this dispatch, which never started the job.
    Delivery(u32),
    /// The execution of this number.
    Execution(u32),
    /// The execution of this number, whose start was left for later, and is recorded with its settlement.
    /// None other of the job may have been recorded meanwhile.
    Unrecorded {
        /// The dispatch whose delivery it came from.
        dispatch: u32,
        /// See [`Execution::number`].
        number: u32,
    },
}

/// The ledger's answer to a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Recorded; the job is now in this state.
    Recorded(JobState),
    /// Late: the job is over, unknown, or something newer has happened to it. Nothing was changed.
    Stale,
}

/// Which runs to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Only the run of this name or id.
    pub run: Option<RunName>,
    /// Whether to work out when jobs ran and how long they waited: a look at every job.
    pub timing: bool,
    /// Page size. 0 means 100.
    pub limit: u32,
}

/// Which jobs to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only in one of these states; empty: any.
    pub states: Vec<JobState>,
    /// Only with this key.
    pub key: Option<Key>,
    /// Only these; empty: any.
    pub ids: Vec<JobId>,
    /// Only those whose key this run does not have.
    pub absent_from: Option<RunId>,
    /// Only those planned after this one: the last of the page before.
    pub after: Option<JobId>,
    /// Page size. 0 means 100.
    pub limit: u32,
}

/// One kind of upkeep. Each call of [`Ledger::sweep`] does a bounded portion of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sweep {
    /// Skips unfinished jobs of runs whose deadline has passed.
    Overdue,
    /// Makes jobs of one queue due again whose message was lost: they were published at least `silent_for`
    /// ago, and have neither started nor settled since. Only a process that consumes the queue can tell that
    /// the broker has no message of it any more, so jobs of other queues are left alone.
    Lost {
        /// The queue that the jobs were published to.
        queue: QueueName,
        /// The shortest time since the publication.
        silent_for: Duration,
    },
    /// Deletes runs that finished at least `keep` ago, with their jobs.
    Finished {
        /// How long finished runs are kept, at most [`LONGEST_KEEP`](crate::bounds::LONGEST_KEEP).
        keep: Duration,
    },
}

/// What a portion of a [`Sweep`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Jobs that were skipped, made due again, or deleted.
    pub jobs: u64,
    /// Whether another portion may find more. `false`: everything was looked at.
    pub more: bool,
}
