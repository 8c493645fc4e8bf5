//! What `bench` prints. Its names in JSON never change their meaning; docs/tuning.md defines each.

use std::time::Duration;

use serde::Serialize;

use super::Arguments;
use super::crew::Finished;
use super::figures::{Spread, hand_offs, rate, utilisation, waits};
use super::load::Took;
use super::meter::Used;
use super::samples::{Sample, nanos};
use crate::Look;
use crate::commands::views::{ms, none};

/// The answer of `bench`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
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
    wait: Option<Spread>,
    hand_off: Option<Spread>,
    hand_off_to_work: Option<Spread>,
    costs: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct Cost {
    #[serde(flatten)]
    used: Used,
    cpu_seconds_per_10k_jobs: f64,
}

impl Report {
    pub(super) fn new(
        engine: &'static str,
        arguments: &Arguments,
        took: &Took,
        finished: Vec<Finished>,
        used: Vec<Used>,
    ) -> Self {
        let samples: Vec<Sample> =
            finished.iter().flat_map(|worker| worker.samples.iter().copied()).collect();
        let last = samples.iter().map(|sample| sample.ended).max().unwrap_or(0);
        let drain = Duration::from_nanos(last.saturating_sub(nanos(took.begun)));
        let jobs = arguments.jobs;
        let slots = arguments.slots();
        let busy = slots.and_then(|slots| utilisation(&samples, slots));
        // Slots that are split are handed on within each process: between all of them nothing can be paired.
        let shared = slots.filter(|_| !arguments.split_slots);
        let (to_grant, to_work) = shared.map(|slots| hand_offs(&samples, slots)).unwrap_or_default();
        let cost = |used: Used| Cost {
            cpu_seconds_per_10k_jobs: used.cpu.as_secs_f64() / f64::from(jobs) * 10_000.0,
            used,
        };
        Self {
            engine,
            jobs,
            sleep_ms: ms(arguments.sleep),
            slots,
            slots_split: arguments.split_slots,
            processes: arguments.processes,
            concurrency: arguments.concurrency,
            batch_size: arguments.batch,
            planned_per_second: rate(jobs, took.planning),
            dispatched_per_second: rate(jobs, took.dispatching),
            drained_per_second: rate(jobs, drain),
            drain_ms: ms(drain),
            succeeded: finished.iter().map(|worker| worker.succeeded).sum(),
            deferred: finished.iter().map(|worker| worker.deferred).sum(),
            slots_held_percent: busy.map(|(held, _)| held),
            slots_working_percent: busy.map(|(_, working)| working),
            wait: slots.and_then(|_| Spread::of(waits(&samples))),
            hand_off: Spread::of(to_grant),
            hand_off_to_work: Spread::of(to_work),
            costs: used.into_iter().map(cost).collect(),
        }
    }

    pub(super) fn describe(&self, look: &Look) -> String {
        let split = if self.slots_split { ", split" } else { "" };
        let slots =
            self.slots.map_or_else(|| String::from("without slots"), |slots| format!("{slots} slots{split}"));
        let head = format!(
            "{} jobs of {} ms on the {} engine, {slots};\n{} worker processes, each with {} jobs at hand:\n",
            self.jobs, self.sleep_ms, self.engine, self.processes, self.concurrency
        );
        let percent = |share: Option<f64>| share.map_or_else(none, |share| format!("{share:.1} %"));
        let pairs = look.pairs(&[
            ("planned", format!("{:.0} jobs/s", self.planned_per_second)),
            ("dispatched", format!("{:.0} jobs/s", self.dispatched_per_second)),
            ("drained", format!("{:.0} jobs/s", self.drained_per_second)),
            ("succeeded", format!("{} ({} deferrals)", self.succeeded, self.deferred)),
            ("slots held", percent(self.slots_held_percent)),
            ("slots at work", percent(self.slots_working_percent)),
            ("wait for a slot", spread(self.wait)),
            ("hand-off of a slot", spread(self.hand_off)),
            ("hand-off to work", spread(self.hand_off_to_work)),
        ]);
        let rows = self.costs.iter().map(|Cost { used, cpu_seconds_per_10k_jobs }| {
            [used.process.clone(), format!("{cpu_seconds_per_10k_jobs:.2} s"), mib(used.peak_bytes)]
        });
        let costs = look.table(["process", "cpu for 10,000 jobs", "peak memory"], rows);
        format!("{head}\n{pairs}\n{costs}")
    }
}

fn spread(spread: Option<Spread>) -> String {
    let text = |us: u64| format!("{:.1?}", Duration::from_micros(us));
    spread.map_or_else(none, |Spread { p50_us, p99_us, count }| {
        format!("p50 {}, p99 {} ({count} of them)", text(p50_us), text(p99_us))
    })
}

/// Bytes for people.
pub(super) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
