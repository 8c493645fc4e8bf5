//! Planning. A sealed or cancelled run accepts no more jobs.

use std::collections::BTreeSet;

use lockgate_core::error::EngineError;
use lockgate_core::job::{JobRow, JobState};
use lockgate_core::ledger::{self, Ingestion, PlanStep, Planned, PlannedJob};
use lockgate_core::run::{self, RunRow, RunSpec, RunStatus};
use lockgate_core::{RunId, Timestamp};

use super::super::conflict;
use super::{Job, Run, Tables};

impl Tables {
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
        if let Some(found) = self.runs.iter().find(|run| run.row.name == spec.name) {
            return found.reopened(&spec);
        }
        let run = Run::new(spec, self.now);
        let planned = Planned { run: run.row.clone(), existed: false, added: 0 };
        self.runs.push(run);
        Ok(planned)
    }

    fn append(&mut self, run: RunId, jobs: Vec<PlannedJob>) -> Result<Planned, EngineError> {
        let now = self.now;
        let found = self.run_mut(run)?;
        let mut added = Vec::new();
        if found.row.status == RunStatus::Planning {
            added = jobs.into_iter().filter(|job| found.keys.insert(job.key.clone())).collect();
        }
        let count = u64::try_from(added.len()).unwrap_or(u64::MAX);
        found.row.planned += count;
        let row = found.row.clone();
        for job in added {
            self.put(Job::new(&row, job, now));
        }
        Ok(Planned { run: row, existed: true, added: count })
    }

    fn ingest(&mut self, ingestion: Ingestion) -> Result<Planned, EngineError> {
        let now = self.now;
        let Ingestion { external_run, kind, queue, jobs } = ingestion;
        let spec =
            run::external_run(external_run, kind, queue, now).map_err(|error| conflict(error.to_string()))?;
        let Planned { run: RunRow { id, .. }, existed, .. } = self.open(spec)?;
        let mut jobs: Vec<PlannedJob> =
            jobs.into_iter().filter(|job| !self.positions.contains_key(&job.id)).collect();
        let external_run = self.run_mut(id)?;
        external_run.row.status = match external_run.row.status {
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
        external_run.row.planned += added;
        let row = external_run.row.clone();
        for job in jobs {
            self.put(Job::ingested(Job::new(&row, job, now), now));
        }
        Ok(Planned { run: row, existed, added })
    }

    fn put(&mut self, job: Job) {
        let position = self.jobs.last_key_value().map_or(1, |(last, _)| last + 1);
        self.positions.insert(job.row.id, position);
        self.jobs.insert(position, job);
    }

    fn seal(&mut self, run: RunId) -> Result<Planned, EngineError> {
        let now = self.now;
        let run = self.run_mut(run)?;
        if run.row.status == RunStatus::Planning {
            let start = run.start_at.unwrap_or(now);
            run.row.status = RunStatus::Active;
            run.row.next_due = (run.row.planned > 0).then_some(start);
            run.row.deadline_at = run.deadline.map(|deadline| start.plus(deadline));
        }
        Ok(Planned { run: run.row.clone(), existed: true, added: 0 })
    }
}

impl Run {
    fn new(spec: RunSpec, now: Timestamp) -> Self {
        let row = RunRow {
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
            row,
            start_at: spec.start_at,
            deadline: spec.deadline,
            last_batch: None,
            keys: BTreeSet::new(),
        }
    }

    fn reopened(&self, spec: &RunSpec) -> Result<Planned, EngineError> {
        if self.row.kind != spec.kind || self.row.as_of != spec.as_of {
            let name = &spec.name;
            return Err(conflict(format!("run {name} exists for another kind or hour; choose another name")));
        }
        Ok(Planned { run: self.row.clone(), existed: true, added: 0 })
    }
}

impl Job {
    fn new(run: &RunRow, job: PlannedJob, now: Timestamp) -> Self {
        let row = JobRow {
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
            row,
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

    /// Treats the job as if its first dispatch had just been published.
    fn ingested(mut self, now: Timestamp) -> Self {
        self.row.state = JobState::Enqueued;
        self.dispatch = 1;
        self.dispatched = true;
        self.published_at = Some(now);
        self
    }
}
