//! Runs of probes and of other kinds in the queue of the probes.

use std::time::Duration;

use lockgate_core::cadence::Cadence;
use lockgate_core::ledger::{PlanStep, PlannedJob};
use lockgate_core::run::RunSpec;
use lockgate_core::{Engine, JobId, Key, Kind, QueueName, RunId, RunName, Tenant, Timestamp};
use lockgate_runtime::Job;
use uuid::Uuid;

use crate::scenario::{Act, Probe};

/// Plans a run with one probe for each act.
pub(crate) async fn plan(engine: &Engine, acts: impl IntoIterator<Item = Act>) -> RunId {
    let payload = |act| match act {
        Act::Broken => String::from("{}"),
        act => serde_json::to_string(&Probe { act }).unwrap(),
    };
    plan_jobs(engine, Probe::KIND, acts.into_iter().map(payload)).await
}

/// Plans a run of this kind with one job for each payload, all in one batch.
pub(crate) async fn plan_jobs(
    engine: &Engine,
    kind: &str,
    payloads: impl IntoIterator<Item = String>,
) -> RunId {
    plan_with_deadline(engine, kind, payloads, None).await
}

/// The same; what is left of the run this long after its start is skipped.
pub(crate) async fn plan_with_deadline(
    engine: &Engine,
    kind: &str,
    payloads: impl IntoIterator<Item = String>,
    deadline: Option<Duration>,
) -> RunId {
    let run = RunId(Uuid::now_v7());
    let spec = RunSpec {
        id: run,
        name: RunName::new(run.to_string()).unwrap(),
        kind: Kind::new(kind).unwrap(),
        queue: QueueName::new("probes").unwrap(),
        as_of: Timestamp(0),
        start_at: None,
        cadence: Cadence { batch_size: 1_000, batch_delay: Duration::ZERO },
        deadline,
    };
    let planned = |(n, payload)| PlannedJob {
        id: JobId(Uuid::now_v7()),
        key: Key::new(format!("org-{n}")).unwrap(),
        tenant: Tenant::new(format!("org-{n}")).unwrap(),
        payload,
    };
    let jobs = payloads.into_iter().enumerate().map(planned).collect();
    for step in [PlanStep::Open(spec), PlanStep::Append { run, jobs }, PlanStep::Seal { run }] {
        engine.ledger.plan(step).await.unwrap();
    }
    run
}
