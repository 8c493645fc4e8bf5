//! Plans a run: from a manifest, chunk by chunk, into the ledger. Nothing is dispatched before the plan is whole.

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

/// Jobs planned in one transaction: large enough to be fast, small enough to need little memory.
pub const CHUNK: usize = 1_000;

/// What a run of this manifest is by default: named after its kind and hour, in the queue of its kind, with the rhythm of the
/// settings.
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
            "no job kind {kind} is registered, so nobody could run these jobs; register it with `App::job` (there are: {})",
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

/// A job of a manifest, charged to its key.
///
/// # Errors
/// When the key is no name, or the payload is no JSON.
pub fn job(key: &str, payload: &impl Serialize) -> anyhow::Result<PlannedJob> {
    let payload =
        serde_json::to_string(payload).with_context(|| format!("cannot write the payload of {key}"))?;
    let (key, tenant) = (Key::new(key)?, Tenant::new(key)?);
    Ok(PlannedJob { id: JobId(Uuid::now_v7()), key, tenant, payload })
}

/// Plans the run. One of the same name that is whole is answered as it is; one whose planning was cut off is taken
/// up again: the keys that it has are passed over.
///
/// # Errors
/// When the manifest cannot be read, the ledger fails, or the run of that name is another.
pub async fn plan(
    lockgate: &Lockgate,
    spec: RunSpec,
    manifest: &mut dyn Manifest,
    progress: &Progress,
) -> anyhow::Result<Planned> {
    let ledger = &lockgate.engine.ledger;
    // Read before the run is made: a manifest that is no good from the start leaves no run behind.
    let mut jobs = next_chunk(manifest).await?;
    let opened = ledger.plan(PlanStep::Open(spec)).await?;
    if opened.existed && opened.run.status != RunStatus::Planning {
        return Ok(opened);
    }
    let run = opened.run.id;
    let mut added = 0;
    while !jobs.is_empty() {
        progress.inc(jobs.len().try_into().unwrap_or(u64::MAX));
        added += ledger.plan(PlanStep::Append { run, jobs }).await?.added;
        jobs = next_chunk(manifest).await.with_context(|| cut_off(&opened.run.name, added))?;
    }
    let sealed = ledger.plan(PlanStep::Seal { run }).await?;
    Ok(Planned { existed: opened.existed, added, ..sealed })
}

/// Counts a manifest without planning it.
///
/// # Errors
/// When it cannot be read.
pub async fn count(manifest: &mut dyn Manifest, progress: &Progress) -> anyhow::Result<u64> {
    let mut count: u64 = 0;
    loop {
        let jobs = next_chunk(manifest).await?;
        if jobs.is_empty() {
            return Ok(count);
        }
        let more = jobs.len().try_into().unwrap_or(u64::MAX);
        progress.inc(more);
        count = count.saturating_add(more);
    }
}

/// When the first and the last batch of a run that is not planned yet would be due.
#[must_use]
pub fn first_and_last(start: Timestamp, cadence: Cadence, jobs: u64) -> Option<(Timestamp, Timestamp)> {
    (jobs > 0).then(|| (start, start.plus(cadence.span(jobs))))
}

async fn next_chunk(manifest: &mut dyn Manifest) -> anyhow::Result<Vec<PlannedJob>> {
    let jobs = manifest.next(CHUNK).await.context("cannot read the manifest")?;
    check(&jobs)?;
    Ok(jobs)
}

fn cut_off(run: &RunName, added: u64) -> String {
    format!("planned {added} jobs of {run} and no more (mend the rest and enqueue it again under that name)")
}

fn check(jobs: &[PlannedJob]) -> Result<(), Problem> {
    match jobs.iter().find(|job| job.payload.len() > MAX_PAYLOAD_BYTES) {
        None => Ok(()),
        Some(job) => Err(Problem::data(format!(
            "cannot plan {}: its payload has {} bytes, more than {MAX_PAYLOAD_BYTES}; keep the data elsewhere, and a \
             reference to it in the payload",
            job.key,
            job.payload.len()
        ))),
    }
}
