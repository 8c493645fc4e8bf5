//! What processes use between two looks: processor time and memory.
//!
//! It must never change what it watches.

use std::time::Duration;

use serde::Serialize;

use super::crew::Finished;
use crate::procfs::Usage;

/// A process to be watched, with the name that it has in the report.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    name: String,
    pid: u32,
}

/// Reads `NAME=PID`.
pub(super) fn parse_watched(text: &str) -> Result<Watched, String> {
    let wrong = || format!("{text:?} names no process; write NAME=PID, such as redis=812");
    let (name, pid) = text.split_once('=').ok_or_else(wrong)?;
    let watched = Watched { name: name.to_owned(), pid: pid.parse().map_err(|_| wrong())? };
    match Usage::of_tree(watched.pid) {
        Some(_) if !name.is_empty() => Ok(watched),
        Some(_) => Err(wrong()),
        None => Err(format!("there is no process {pid} that {name} could be; `ps` shows which there are")),
    }
}

/// What a process used.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Used {
    pub(super) process: String,
    #[serde(skip)]
    pub(super) cpu: Duration,
    pub(super) cpu_ms: u64,
    pub(super) resident_bytes: u64,
    pub(super) peak_bytes: u64,
}

impl Used {
    pub(super) fn new(process: String, cpu: Duration, usage: Usage) -> Self {
        let cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
        Self { process, cpu, cpu_ms, resident_bytes: usage.resident, peak_bytes: usage.peak }
    }

    /// The worker processes, by number.
    pub(super) fn by_workers(finished: &[Finished]) -> Vec<Self> {
        let used = |(n, worker): (usize, &Finished)| {
            let usage = Usage { resident: worker.resident, peak: worker.peak, ..Usage::default() };
            Self::new(format!("worker {}", n + 1), Duration::from_nanos(worker.cpu_ns), usage)
        };
        finished.iter().enumerate().map(used).collect()
    }
}

/// Looks at watched processes, from its making to its reading.
pub(super) struct Meter(Vec<(Watched, Duration)>);

impl Meter {
    pub(super) fn start(watched: &[Watched]) -> Self {
        let begin = |one: &Watched| (one.clone(), Usage::of_tree(one.pid).unwrap_or_default().cpu);
        Self(watched.iter().map(begin).collect())
    }

    pub(super) fn read(self) -> Vec<Used> {
        let used = |(one, before): (Watched, Duration)| {
            let now = Usage::of_tree(one.pid).unwrap_or_default();
            Used::new(one.name, now.cpu.saturating_sub(before), now)
        };
        self.0.into_iter().map(used).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_there_is_watched() {
        assert_eq!(parse_watched(&format!("me={}", std::process::id())).unwrap().name, "me");
        for text in ["me", "me=", "=1", "me=x", "me=4294967295"] {
            assert!(parse_watched(text).is_err(), "{text}");
        }
    }
}
