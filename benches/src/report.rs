//! The figures of each process, and of all processes together.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;

/// Returns the host's monotonic clock in nanoseconds. All processes share it.
pub(crate) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The figures of one process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    started: u64,
    ended: u64,
    jobs: u64,
    /// Waits for a slot, in nanoseconds.
    waits: Vec<u64>,
    cpu_seconds: f64,
}

impl WorkerReport {
    pub(crate) fn new(started: u64, ended: u64, jobs: u64, waits: Vec<u64>) -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let spent = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000;
        let spent = Duration::from_nanos(spent + u64::try_from(cpu.tv_nsec).unwrap_or(0));
        Self { started, ended, jobs, waits, cpu_seconds: spent.as_secs_f64() }
    }
}

/// The figures of all processes together.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    mode: String,
    jobs: u64,
    processes: u32,
    concurrency: u16,
    slots: u32,
    sleep_ms: u64,
    publish_per_second: f64,
    drain_per_second: f64,
    wait_p50_ms: f64,
    wait_p99_ms: f64,
    cpu_seconds_per_10000: f64,
}

impl Report {
    pub(crate) fn of(arguments: &Arguments, published_in: Duration, workers: &[WorkerReport]) -> Self {
        let started =
            workers.iter().filter(|worker| worker.jobs > 0).map(|worker| worker.started).min().unwrap_or(0);
        let ended = workers.iter().map(|worker| worker.ended).max().unwrap_or(0);
        let jobs: u64 = workers.iter().map(|worker| worker.jobs).sum();
        let mut waits: Vec<u64> = workers.iter().flat_map(|worker| worker.waits.iter().copied()).collect();
        waits.sort_unstable();
        let cpu: f64 = workers.iter().map(|worker| worker.cpu_seconds).sum();
        let took = Duration::from_nanos(ended.saturating_sub(started));
        let mode = arguments.mode.to_possible_value().map(|value| value.get_name().to_owned());
        Self {
            mode: mode.unwrap_or_default(),
            jobs,
            processes: arguments.processes,
            concurrency: arguments.concurrency,
            slots: arguments.slots,
            sleep_ms: arguments.sleep_ms,
            publish_per_second: per_second(u64::from(arguments.jobs), published_in),
            drain_per_second: per_second(jobs, took),
            wait_p50_ms: percentile(&waits, 50),
            wait_p99_ms: percentile(&waits, 99),
            cpu_seconds_per_10000: cpu * 10_000.0 / float(jobs.max(1)),
        }
    }
}

fn per_second(jobs: u64, took: Duration) -> f64 {
    float(jobs) / took.as_secs_f64().max(f64::EPSILON)
}

/// Returns a percentile by nearest rank, in milliseconds.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |nanos| Duration::from_nanos(*nanos).as_secs_f64() * 1_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Prints a report as JSON.
#[expect(clippy::print_stdout, reason = "the output of this program")]
pub(crate) fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}
