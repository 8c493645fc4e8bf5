//! Planning. A run that is sealed, or cancelled, must never get another job.

use std::collections::BTreeSet;

use lockgate_core::error::EngineError;
use lockgate_core::job::{JobRow, JobState};
use lockgate_core::ledger::{self, Ingestion, PlanStep, Planned, PlannedJob};
use lockgate_core::run::{self, RunRow, RunSpec, RunStatus};
use lockgate_core::{RunId, Timestamp};

use super::super::conflict;
use super::{Books, Job, Run};

impl Books {
    pub(super) fn plan(&mut self, step: PlanStep) -> Result<Planned, EngineError> {
        match step {
            PlanStep::Open(spec) => {
                spec.check(self.now)?;
                self.open(spec)
            }
            PlanStep::Append { run, jobs } => self.append(run, jobs),
            PlanStep::Seal { run } => self.seal(run),
            PlanStep::Ingest(ingestion) => self.ingest(ingestion),
        }
    }

    fn open(&mut self, spec: RunSpec) -> Result<Planned, EngineError> {
        if let Some(found) = self.runs.iter().find(|run| run.record.name == spec.name) {
            return found.reopened(&spec);
        }
        let run = Run::new(spec, self.now);
        let planned = Planned { run: run.record.clone(), existed: false, added: 0 };
        self.runs.push(run);
        Ok(planned)
    }

    fn append(&mut self, run: RunId, jobs: Vec<PlannedJob>) -> Result<Planned, EngineError> {
        let now = self.now;
        let found = self.run_mut(run)?;
        let mut added = Vec::new();
        if found.record.status == RunStatus::Planning {
            added = jobs.into_iter().filter(|job| found.keys.insert(job.key.clone())).collect();
        }
        let count = u64::try_from(added.len()).unwrap_or(u64::MAX);
        found.record.planned += count;
        let record = found.record.clone();
        for job in added {
            self.put(Job::new(&record, job, now));
        }
        Ok(Planned { run: record, existed: true, added: count })
    }

    fn ingest(&mut self, ingestion: Ingestion) -> Result<Planned, EngineError> {
        let now = self.now;
        let Ingestion { external_run, kind, queue, jobs } = ingestion;
        let spec =
            run::external_run(external_run, kind, queue, now).map_err(|error| conflict(error.to_string()))?;
        let Planned { run: RunRow { id, .. }, existed, .. } = self.open(spec)?;
        let mut jobs: Vec<PlannedJob> =
            jobs.into_iter().filter(|job| !self.places.contains_key(&job.id)).collect();
        let external_run = self.run_mut(id)?;
        external_run.record.status = match external_run.record.status {
            RunStatus::Paused => RunStatus::Paused,
            _ => RunStatus::Active,
        };
        let mut seen = BTreeSet::new();
        jobs.retain(|job| seen.insert(job.id));
        for job in &mut jobs {
            if external_run.keys.contains(&job.key) {
                job.key = ledger::ingested_key(&job.key, job.id);
            }
            external_run.keys.insert(job.key.clone());
        }
        let added = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        external_run.record.planned += added;
        let record = external_run.record.clone();
        for job in jobs {
            self.put(Job::ingested(Job::new(&record, job, now), now));
        }
        Ok(Planned { run: record, existed, added })
    }

    fn put(&mut self, job: Job) {
        let place = self.jobs.last_key_value().map_or(1, |(last, _)| last + 1);
        self.places.insert(job.record.id, place);
        self.jobs.insert(place, job);
    }

    fn seal(&mut self, run: RunId) -> Result<Planned, EngineError> {
        let now = self.now;
        let run = self.run_mut(run)?;
        if run.record.status == RunStatus::Planning {
            let start = run.start_at.unwrap_or(now);
            run.record.status = RunStatus::Active;
            run.record.next_due = (run.record.planned > 0).then_some(start);
            run.record.deadline_at = run.deadline.map(|deadline| start.plus(deadline));
        }
        Ok(Planned { run: run.record.clone(), existed: true, added: 0 })
    }
}

impl Run {
    fn new(spec: RunSpec, now: Timestamp) -> Self {
        let record = RunRow {
            id: spec.id,
            name: spec.name,
            kind: spec.kind,
            queue: spec.queue,
            as_of: spec.as_of,
            status: RunStatus::Planning,
            cadence: spec.cadence,
            planned: 0,
            batches: 0,
            next_due: None,
            deadline_at: None,
            created_at: now,
        };
        Self {
            record,
            start_at: spec.start_at,
            deadline: spec.deadline,
            last_batch: None,
            keys: BTreeSet::new(),
        }
    }

    fn reopened(&self, spec: &RunSpec) -> Result<Planned, EngineError> {
        if self.record.kind != spec.kind || self.record.as_of != spec.as_of {
            let name = &spec.name;
            return Err(conflict(format!("run {name} exists for another kind or hour; choose another name")));
        }
        Ok(Planned { run: self.record.clone(), existed: true, added: 0 })
    }
}

impl Job {
    fn new(run: &RunRow, job: PlannedJob, now: Timestamp) -> Self {
        let record = JobRow {
            id: job.id,
            run: Some(run.id),
            kind: run.kind.clone(),
            queue: run.queue.clone(),
            key: job.key,
            tenant: job.tenant,
            state: JobState::Scheduled,
            attempt: 0,
            executions: 0,
            deferrals: 0,
            batch: None,
            due_at: None,
            reason: None,
            waited: None,
            ran: None,
            updated_at: now,
            payload: job.payload,
        };
        Self {
            record,
            dispatch: 0,
            dispatched: false,
            executing: false,
            started_by: 0,
            unsettled: 0,
            deferrals_in_row: 0,
            published_at: None,
            started_at: None,
            settled_at: None,
        }
    }

    /// As if its first dispatch had just been published.
    fn ingested(mut self, now: Timestamp) -> Self {
        self.record.state = JobState::Enqueued;
        self.dispatch = 1;
        self.dispatched = true;
        self.published_at = Some(now);
        self
    }
}
