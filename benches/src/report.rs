//! What was measured, by process and together.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;

/// Nanoseconds of the host's monotonic clock, which all processes share.
pub(crate) fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// What one process measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    begun: u64,
    ended: u64,
    jobs: u64,
    /// Waits for a slot, in nanoseconds.
    waits: Vec<u64>,
    cpu_seconds: f64,
}

impl Part {
    pub(crate) fn new(begun: u64, ended: u64, jobs: u64, waits: Vec<u64>) -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let spent = u64::try_from(cpu.tv_sec).unwrap_or(0) * 1_000_000_000;
        let spent = Duration::from_nanos(spent + u64::try_from(cpu.tv_nsec).unwrap_or(0));
        Self { begun, ended, jobs, waits, cpu_seconds: spent.as_secs_f64() }
    }
}

/// What all measured together.
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
    pub(crate) fn of(arguments: &Arguments, published_in: Duration, parts: &[Part]) -> Self {
        let begun = parts.iter().filter(|part| part.jobs > 0).map(|part| part.begun).min().unwrap_or(0);
        let ended = parts.iter().map(|part| part.ended).max().unwrap_or(0);
        let jobs: u64 = parts.iter().map(|part| part.jobs).sum();
        let mut waits: Vec<u64> = parts.iter().flat_map(|part| part.waits.iter().copied()).collect();
        waits.sort_unstable();
        let cpu: f64 = parts.iter().map(|part| part.cpu_seconds).sum();
        let took = Duration::from_nanos(ended.saturating_sub(begun));
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

/// By nearest rank, in milliseconds.
fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |nanos| Duration::from_nanos(*nanos).as_secs_f64() * 1_000.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// Prints it, for a person and a program alike.
#[expect(clippy::print_stdout, reason = "the output of this program")]
pub(crate) fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}
