//! Plans a run: writes the jobs of a manifest to the ledger, page by page. Nothing is dispatched before the
//! plan is complete.

use anyhow::Context;
use lockgate::core::cadence::Cadence;
use lockgate::core::envelope::MAX_PAYLOAD_BYTES;
use lockgate::core::ledger::{PlanStep, Planned, PlannedJob};
use lockgate::core::run::{RunSpec, RunStatus};
use lockgate::{App, JobId, Key, Lockgate, RunId, RunName, Tenant, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::problem::Problem;
use crate::program::Manifest;
use crate::terminal::Progress;
use crate::times;

/// Jobs that one transaction plans: large enough to be fast, small enough to need little memory.
pub const PAGE_SIZE: usize = 1_000;

/// Returns the run of a manifest with its defaults: named after its kind and hour, in the queue of its kind,
/// with the cadence and deadline of the settings.
///
/// # Errors
/// When the app has no such kind, or the kind is too long for a name.
pub fn spec(
    lockgate: &Lockgate,
    app: &App,
    manifest: &dyn Manifest,
    as_of: Timestamp,
) -> anyhow::Result<RunSpec> {
    let runs = &lockgate.settings().runs;
    let kind = manifest.kind();
    let Some(registered) = app.registry.get(&kind) else {
        let known: Vec<String> = app.registry.kinds().map(|(kind, _)| kind.to_string()).collect();
        anyhow::bail!(
            "the job kind {kind} is not registered, so no worker could run these jobs; register it with `App::job` \
             (registered: {})",
            known.join(", ")
        );
    };
    let queue = registered.options.queue.clone();
    let name = RunName::new(format!("{kind}-{}", times::hour_name(as_of)))?;
    Ok(RunSpec {
        id: RunId(Uuid::now_v7()),
        name,
        kind,
        queue,
        as_of,
        start_at: None,
        cadence: runs.cadence(),
        deadline: runs.deadline,
    })
}

/// Creates a job of a manifest. Its key is also its tenant.
///
/// # Errors
/// When the key is not a valid name, or the payload cannot be serialized.
pub fn job(key: &str, payload: &impl Serialize) -> anyhow::Result<PlannedJob> {
    let payload =
        serde_json::to_string(payload).with_context(|| format!("cannot serialize the payload of {key}"))?;
    let (key, tenant) = (Key::new(key)?, Tenant::new(key)?);
    Ok(PlannedJob { id: JobId(Uuid::now_v7()), key, tenant, payload })
}

/// Plans the run. If a run of the same name is already planned, it is returned unchanged. If the planning of
/// that run was interrupted, it continues, and keys that the run already has are skipped.
///
/// # Errors
/// When the manifest cannot be read, the ledger fails, or the run of that name is for another hour or kind.
pub async fn plan(
    lockgate: &Lockgate,
    spec: RunSpec,
    manifest: &mut dyn Manifest,
    progress: &Progress,
) -> anyhow::Result<Planned> {
    let ledger = &lockgate.engine.ledger;
    // The first page is read before the run is created, so that a manifest which cannot be read creates no
    // run.
    let mut jobs = next_page(manifest).await?;
    let opened = ledger.plan(PlanStep::Open(spec)).await?;
    if opened.existed && opened.run.status != RunStatus::Planning {
        return Ok(opened);
    }
    let run = opened.run.id;
    let mut added = 0;
    while !jobs.is_empty() {
        progress.inc(jobs.len().try_into().unwrap_or(u64::MAX));
        added += ledger.plan(PlanStep::Append { run, jobs }).await?.added;
        jobs = next_page(manifest).await.with_context(|| interrupted(&opened.run.name, added))?;
    }
    let sealed = ledger.plan(PlanStep::Seal { run }).await?;
    Ok(Planned { existed: opened.existed, added, ..sealed })
}

/// Counts the jobs of a manifest without planning them.
///
/// # Errors
/// When the manifest cannot be read.
pub async fn count(manifest: &mut dyn Manifest, progress: &Progress) -> anyhow::Result<u64> {
    let mut count: u64 = 0;
    loop {
        let jobs = next_page(manifest).await?;
        if jobs.is_empty() {
            return Ok(count);
        }
        let more = jobs.len().try_into().unwrap_or(u64::MAX);
        progress.inc(more);
        count = count.saturating_add(more);
    }
}

/// Returns when the first and the last batch of a run would be due. `None` without jobs.
#[must_use]
pub fn first_and_last(start: Timestamp, cadence: Cadence, jobs: u64) -> Option<(Timestamp, Timestamp)> {
    (jobs > 0).then(|| (start, start.plus(cadence.span(jobs))))
}

async fn next_page(manifest: &mut dyn Manifest) -> anyhow::Result<Vec<PlannedJob>> {
    let jobs = manifest.next(PAGE_SIZE).await.context("cannot read the manifest")?;
    check(&jobs)?;
    Ok(jobs)
}

fn interrupted(run: &RunName, added: u64) -> String {
    format!("planned only {added} jobs of {run}; correct the input and enqueue it again with --run {run}")
}

fn check(jobs: &[PlannedJob]) -> Result<(), Problem> {
    match jobs.iter().find(|job| job.payload.len() > MAX_PAYLOAD_BYTES) {
        None => Ok(()),
        Some(job) => Err(Problem::data(format!(
            "cannot plan {}: its payload has {} bytes, more than {MAX_PAYLOAD_BYTES}; store the data elsewhere, and a \
             reference to it in the payload",
            job.key,
            job.payload.len()
        ))),
    }
}
