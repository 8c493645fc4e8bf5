//! Processor time and memory of processes, between two readings.

use std::time::Duration;

use lockgate_cli::procfs::Usage;
use serde::Serialize;

use crate::worker_processes::WorkerReport;

/// A process to measure, with its name in the report.
#[derive(Debug, Clone)]
pub(crate) struct WatchedProcess {
    name: String,
    pid: u32,
}

/// Parses `NAME=PID`. The process must exist.
pub(crate) fn parse_watched(text: &str) -> Result<WatchedProcess, String> {
    let invalid = || format!("{text:?} is not a process; write NAME=PID, such as redis=812");
    let (name, pid) = text.split_once('=').ok_or_else(invalid)?;
    let watched = WatchedProcess { name: name.to_owned(), pid: pid.parse().map_err(|_| invalid())? };
    match Usage::of_tree(watched.pid) {
        Some(_) if !name.is_empty() => Ok(watched),
        Some(_) => Err(invalid()),
        None => Err(format!("there is no process {pid} for {name}; `ps -e` lists the processes")),
    }
}

/// Processor time and memory of one process during a measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessUsage {
    /// Its name in the report.
    pub(crate) process: String,
    #[serde(skip)]
    pub(crate) cpu: Duration,
    pub(crate) cpu_ms: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) peak_bytes: u64,
}

impl ProcessUsage {
    pub(crate) fn new(process: String, cpu: Duration, usage: Usage) -> Self {
        let cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
        Self { process, cpu, cpu_ms, resident_bytes: usage.resident, peak_bytes: usage.peak }
    }

    /// Returns what each worker process used, named by its number from 1.
    pub(crate) fn of_workers(reports: &[WorkerReport]) -> Vec<Self> {
        let of_worker = |(n, report): (usize, &WorkerReport)| {
            let usage = Usage { resident: report.resident, peak: report.peak, ..Usage::default() };
            Self::new(format!("worker {}", n + 1), Duration::from_nanos(report.cpu_ns), usage)
        };
        reports.iter().enumerate().map(of_worker).collect()
    }
}

/// Measures watched processes, from [`Meter::start`] to [`Meter::read`].
pub(crate) struct Meter(Vec<(WatchedProcess, Duration)>);

impl Meter {
    pub(crate) fn start(watched: &[WatchedProcess]) -> Self {
        let start =
            |process: &WatchedProcess| (process.clone(), Usage::of_tree(process.pid).unwrap_or_default().cpu);
        Self(watched.iter().map(start).collect())
    }

    pub(crate) fn read(self) -> Vec<ProcessUsage> {
        let read = |(process, before): (WatchedProcess, Duration)| {
            let now = Usage::of_tree(process.pid).unwrap_or_default();
            ProcessUsage::new(process.name, now.cpu.saturating_sub(before), now)
        };
        self.0.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_existing_process_can_be_watched() {
        assert_eq!(parse_watched(&format!("me={}", std::process::id())).unwrap().name, "me");
        for text in ["me", "me=", "=1", "me=x", "me=4294967295"] {
            assert!(parse_watched(text).is_err(), "{text}");
        }
    }
}
