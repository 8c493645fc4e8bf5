//! The summary of a demo: accounts for every organization, and reports what the backend counted. It only
//! reads.

use std::fmt::Write as _;
use std::time::Duration;

use lockgate::core::job::JobRow;
use lockgate::core::ledger::{JobQuery, RunQuery};
use lockgate::core::run::{Counts, RunSummary};
use lockgate::core::slots::PoolQuery;
use lockgate::{JobId, Lockgate, PoolName, RunId, RunName, Timestamp};
use lockgate_cli::{Exit, Problem, Style};
use serde::Serialize;

use super::backend::Counted;
use super::location::Location;
use crate::hour::Hour;
use crate::store::Store;

/// What the demo knows and the ledger does not.
pub(super) struct Outcome {
    pub(super) without_slots: bool,
    pub(super) slots: u32,
    pub(super) processes: u32,
    pub(super) backend: Counted,
    pub(super) took: Duration,
    pub(super) location: Location,
    /// Id of the first organization.
    pub(super) first: String,
}

/// The figures of a demo. The JSON names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    run: RunName,
    engine: &'static str,
    database: String,
    processes: u32,
    planned: u64,
    #[serde(flatten)]
    counts: Counts,
    balanced: bool,
    slots: Option<u32>,
    peak_slots: u32,
    backend: Counted,
    refused: Option<u64>,
    deferrals: Deferrals,
    wait_p50_ms: Option<u64>,
    wait_p99_ms: Option<u64>,
    seconds: f64,
    jobs_per_second: f64,
    coverage: f64,
    #[serde(skip)]
    flags: String,
    #[serde(skip)]
    first: String,
}

/// Deferrals of jobs, which consume no attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
struct Deferrals {
    all: u64,
    organizations: u64,
    most_of_one: u32,
}

/// Reads the ledger, the pool and the projections.
pub(super) async fn sum_up(
    lockgate: &Lockgate,
    store: &Store,
    (run, as_of, pool): (&RunName, Timestamp, &str),
    outcome: Outcome,
) -> anyhow::Result<Summary> {
    let query = RunQuery { run: Some(run.clone()), timing: true, limit: 1 };
    let found = lockgate.engine.ledger.runs(query).await?.pop();
    let found = found.ok_or_else(|| Problem::not_found(format!("the run {run} no longer exists")))?;
    let pool = lockgate.engine.slots.inspect(&PoolQuery::of(&PoolName::new(pool)?)).await?.pop();
    let Outcome { without_slots, slots, processes, backend, took, location, first } = outcome;
    let done = f64::from(u32::try_from(found.counts.terminal()).unwrap_or(u32::MAX));
    let RunSummary { timing, counts, .. } = found;
    Ok(Summary {
        run: run.clone(),
        engine: lockgate.engine.name,
        database: location.database(),
        processes,
        planned: found.run.planned,
        counts,
        balanced: found.balanced(),
        slots: (!without_slots).then_some(slots),
        peak_slots: if without_slots { 0 } else { pool.map_or(0, |pool| pool.status.peak) },
        refused: backend.refused,
        backend,
        deferrals: deferrals(lockgate, found.run.id).await?,
        wait_p50_ms: timing.map(|timing| millis(timing.wait_p50)),
        wait_p99_ms: timing.map(|timing| millis(timing.wait_p99)),
        seconds: rounded(took.as_secs_f64()),
        jobs_per_second: rounded(done / took.as_secs_f64().max(0.001)),
        coverage: store.projections.coverage(Hour::of(as_of)).await?.coverage,
        flags: location.flags(),
        first,
    })
}

impl Summary {
    /// Returns whether every job is settled; with slots, also whether all succeeded.
    pub(super) fn exit(&self) -> Exit {
        let over = self.balanced && self.counts.terminal() == self.planned;
        let good = self.slots.is_none() || self.counts.succeeded == self.planned;
        if over && good { Exit::Ok } else { Exit::Negative }
    }

    pub(super) fn text(&self, look: &Style, binary: &str) -> String {
        let Self { counts, backend, deferrals, .. } = self;
        let slots = match self.slots {
            Some(slots) => format!("peak {} of {slots}", self.peak_slots),
            None => String::from("none: jobs query the backend without slots"),
        };
        let waits = match (self.wait_p50_ms, self.wait_p99_ms, self.slots) {
            (Some(p50), Some(p99), Some(_)) => format!("p50 {p50} ms, p99 {p99} ms"),
            _ => String::from("-"),
        };
        let mut text = look.pairs(&[
            ("organizations", format!("{} planned, {} succeeded", self.planned, counts.succeeded)),
            (
                "",
                format!(
                    "{} skipped, {} failed, {} cancelled",
                    counts.skipped, counts.failed, counts.cancelled
                ),
            ),
            ("", format!("{} scheduled, {} enqueued", counts.scheduled, counts.enqueued)),
            ("account", String::from(if self.balanced { "balanced" } else { "NOT balanced" })),
            ("slots", slots),
            ("waits for a slot", waits),
            (if backend.fake_backend { "backend (fake)" } else { "backend (ClickHouse)" }, backend.text()),
            ("refused queries", or_unknown(self.refused)),
            ("pace", format!("{:.1} jobs/s, {:.1} s in all", self.jobs_per_second, self.seconds)),
            (
                "coverage",
                format!("{:.1} % of the organizations have this hour's projection", self.coverage * 100.0),
            ),
        ]);
        if deferrals.all > 0 {
            let Deferrals { all, organizations, most_of_one } = deferrals;
            let _infallible = write!(
                text,
                "\n{organizations} organizations were deferred without consuming an attempt, {all} times in total, one \
                of them {most_of_one} times.\n"
            );
        }
        text + &self.next(binary)
    }

    fn next(&self, binary: &str) -> String {
        let Self { flags, run, first, .. } = self;
        let other = if self.slots.is_some() { " --without-slots" } else { "" };
        // A database file stays. The servers may have been started for this command alone.
        let (again, until) = match self.engine {
            "embedded" => ("", ""),
            _ => (" --engine distributed", ", while the servers of this demo run"),
        };
        format!(
            "\nWhat to try next{until}:\n  {binary} {flags} projections show {first} --plot\n  {binary} {flags} runs \
             verify {run}\n  {binary} {flags} orgs list\n  {binary}{again} demo{other}\n"
        )
    }
}

impl Counted {
    fn text(&self) -> String {
        let limit = self.limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        format!("peak {}{limit}, {} served", self.peak, or_unknown(self.served))
    }
}

fn or_unknown(count: Option<u64>) -> String {
    count.map_or_else(|| String::from("unknown"), |count| count.to_string())
}

/// Calls `see` for every job of the run, page by page.
async fn jobs(lockgate: &Lockgate, run: RunId, mut see: impl FnMut(&JobRow)) -> anyhow::Result<()> {
    let mut after: Option<JobId> = None;
    loop {
        let query = JobQuery { run: Some(run), after, limit: 1_000, ..JobQuery::default() };
        let page = lockgate.engine.ledger.jobs(query).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.iter().for_each(&mut see);
    }
}

async fn deferrals(lockgate: &Lockgate, run: RunId) -> anyhow::Result<Deferrals> {
    let mut seen = Deferrals::default();
    jobs(lockgate, run, |job| {
        seen.all += u64::from(job.deferrals);
        seen.organizations += u64::from(job.deferrals > 0);
        seen.most_of_one = seen.most_of_one.max(job.deferrals);
    })
    .await?;
    Ok(seen)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
