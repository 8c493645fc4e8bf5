//! What `lockgate-bench run` prints. docs/tuning.md defines each figure; a name in JSON never changes its
//! meaning.

use std::time::Duration;

use lockgate_cli::Style;
use serde::Serialize;

use crate::arguments::RunArgs;
use crate::figures::{Percentiles, hand_offs, rate, utilisation, waits};
use crate::load::Timings;
use crate::meter::ProcessUsage;
use crate::samples::{Sample, nanos};
use crate::worker_processes::WorkerReport;

/// The report of one measured run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    engine: &'static str,
    jobs: u32,
    sleep_ms: u64,
    slots: Option<u32>,
    slots_split: bool,
    processes: u32,
    concurrency: u32,
    batch_size: u32,
    planned_per_second: f64,
    dispatched_per_second: f64,
    drained_per_second: f64,
    drain_ms: u64,
    succeeded: u64,
    deferred: u64,
    slots_held_percent: Option<f64>,
    slots_working_percent: Option<f64>,
    wait: Option<Percentiles>,
    hand_off: Option<Percentiles>,
    hand_off_to_work: Option<Percentiles>,
    costs: Vec<RunCost>,
}

#[derive(Debug, Serialize)]
struct RunCost {
    #[serde(flatten)]
    usage: ProcessUsage,
    cpu_seconds_per_10k_jobs: f64,
}

impl Report {
    pub(crate) fn new(
        engine: &'static str,
        args: &RunArgs,
        timings: &Timings,
        workers: Vec<WorkerReport>,
        usages: Vec<ProcessUsage>,
    ) -> Self {
        let samples: Vec<Sample> = workers.iter().flat_map(|worker| worker.samples.iter().copied()).collect();
        let last = samples.iter().map(|sample| sample.ended).max().unwrap_or(0);
        let drain = Duration::from_nanos(last.saturating_sub(nanos(timings.started)));
        let jobs = args.jobs;
        let slots = args.slots();
        let busy = slots.and_then(|slots| utilisation(&samples, slots));
        // Split slots stay in their process, so releases and grants of different processes cannot be paired.
        let shared = slots.filter(|_| !args.split_slots);
        let (to_grant, to_work) = shared.map(|slots| hand_offs(&samples, slots)).unwrap_or_default();
        let cost = |usage: ProcessUsage| RunCost {
            cpu_seconds_per_10k_jobs: usage.cpu.as_secs_f64() / f64::from(jobs) * 10_000.0,
            usage,
        };
        Self {
            engine,
            jobs,
            sleep_ms: ms(args.sleep),
            slots,
            slots_split: args.split_slots,
            processes: args.processes,
            concurrency: args.concurrency,
            batch_size: args.batch,
            planned_per_second: rate(jobs, timings.planning),
            dispatched_per_second: rate(jobs, timings.dispatching),
            drained_per_second: rate(jobs, drain),
            drain_ms: ms(drain),
            succeeded: workers.iter().map(|worker| worker.succeeded).sum(),
            deferred: workers.iter().map(|worker| worker.deferred).sum(),
            slots_held_percent: busy.map(|(held, _)| held),
            slots_working_percent: busy.map(|(_, working)| working),
            wait: slots.and_then(|_| Percentiles::of(waits(&samples))),
            hand_off: Percentiles::of(to_grant),
            hand_off_to_work: Percentiles::of(to_work),
            costs: usages.into_iter().map(cost).collect(),
        }
    }

    pub(crate) fn describe(&self, style: &Style) -> String {
        let split = if self.slots_split { ", split" } else { "" };
        let slots =
            self.slots.map_or_else(|| String::from("without slots"), |slots| format!("{slots} slots{split}"));
        let head = format!(
            "{} jobs of {} ms on the {} engine, {slots};\n{} worker processes, each with {} jobs in flight:\n",
            self.jobs, self.sleep_ms, self.engine, self.processes, self.concurrency
        );
        let percent = |share: Option<f64>| share.map_or_else(none, |share| format!("{share:.1} %"));
        let pairs = style.pairs(&[
            ("planned", format!("{:.0} jobs/s", self.planned_per_second)),
            ("dispatched", format!("{:.0} jobs/s", self.dispatched_per_second)),
            ("drained", format!("{:.0} jobs/s", self.drained_per_second)),
            ("succeeded", format!("{} ({} deferrals)", self.succeeded, self.deferred)),
            ("slots held", percent(self.slots_held_percent)),
            ("slots at work", percent(self.slots_working_percent)),
            ("wait for a slot", percentiles(self.wait)),
            ("hand-off of a slot", percentiles(self.hand_off)),
            ("hand-off to work", percentiles(self.hand_off_to_work)),
        ]);
        let rows = self.costs.iter().map(|RunCost { usage, cpu_seconds_per_10k_jobs }| {
            [usage.process.clone(), format!("{cpu_seconds_per_10k_jobs:.2} s"), mib(usage.peak_bytes)]
        });
        let costs = style.table(["process", "cpu for 10,000 jobs", "peak memory"], rows);
        format!("{head}\n{pairs}\n{costs}")
    }
}

fn percentiles(percentiles: Option<Percentiles>) -> String {
    let text = |us: u64| format!("{:.1?}", Duration::from_micros(us));
    percentiles.map_or_else(none, |Percentiles { p50_us, p99_us, count }| {
        format!("p50 {}, p99 {} ({count} of them)", text(p50_us), text(p99_us))
    })
}

/// Formats bytes as MiB, rounded up.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The duration in milliseconds.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Stands for a figure that was not measured.
fn none() -> String {
    String::from("-")
}
