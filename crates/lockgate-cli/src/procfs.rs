//! What the kernel tells of a process: processor time, memory, threads.
//!
//! It must never fail a caller: what cannot be read, of a process that has ended say, is `None`.

use std::fs;
use std::time::Duration;

/// A process at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time, its own and that of children which have ended and were waited for.
    pub(crate) cpu: Duration,
    /// Memory in use, in bytes.
    pub(crate) resident: u64,
    /// The most memory that was in use at once, in bytes.
    pub(crate) peak: u64,
    /// Threads.
    pub(crate) threads: u64,
}

impl Usage {
    /// Of this process alone.
    pub(crate) fn own() -> Option<Self> {
        read("self").map(|(usage, _)| usage)
    }

    /// Of a process and all below it: a server may have one for each connection. Memory that they share is counted
    /// for each of them.
    pub(crate) fn of_tree(pid: u32) -> Option<Self> {
        let (root, _) = read(&pid.to_string())?;
        let everybody: Vec<(u32, Self, u32)> = pids()
            .filter_map(|other| read(&other.to_string()).map(|(usage, parent)| (other, usage, parent)))
            .collect();
        let mut tree = vec![pid];
        let mut sum = root;
        // Each turn looks for the children of the next one found.
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            for (child, usage, _) in everybody.iter().filter(|(_, _, of)| *of == parent) {
                tree.push(*child);
                sum = sum.plus(*usage);
            }
            next += 1;
        }
        Some(sum)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            resident: self.resident + other.resident,
            peak: self.peak + other.peak,
            threads: self.threads + other.threads,
        }
    }
}

/// Files that this process has open.
pub(crate) fn open_files() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A process, and its parent.
fn read(pid: &str) -> Option<(Usage, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let (ticks, parent) = times(&stat)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu = Duration::from_millis(ticks.saturating_mul(1_000) / per_second);
    let of = |name| field(&status, name).unwrap_or(0);
    let (resident, peak) = (of("VmRSS:") * 1_024, of("VmHWM:") * 1_024);
    Some((Usage { cpu, resident, peak, threads: of("Threads:") }, parent))
}

/// Ticks of processor time, waited-for children included, and the parent. See proc_pid_stat(5).
fn times(stat: &str) -> Option<(u64, u32)> {
    // The name stands in brackets, and may hold blanks and brackets itself.
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().filter_map(|text| text.parse::<u64>().ok()).sum();
    Some((ticks, parent))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 99";
        assert_eq!(times(stat), Some((100, 3)));
    }

    #[test]
    fn this_process_has_memory_and_a_parent_whose_tree_holds_it() {
        let own = Usage::own().unwrap();
        assert!(own.peak >= own.resident && own.resident > 0 && own.threads > 0, "{own:?}");
        let (_, parent) = read("self").unwrap();
        assert!(Usage::of_tree(parent).unwrap().threads > own.threads);
        assert_eq!(Usage::of_tree(u32::MAX), None);
    }
}
