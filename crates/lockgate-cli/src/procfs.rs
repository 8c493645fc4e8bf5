//! Reads processor time, memory and threads of processes from `/proc`.
//!
//! Nothing here fails: a value that cannot be read, for example because the process has ended, is `None`.

use std::fs;
use std::time::Duration;

/// Processor time, memory and threads of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of the process, and of its children that have ended and were waited for.
    pub cpu: Duration,
    /// Memory in use now, in bytes.
    pub resident: u64,
    /// The most memory that was in use at once, in bytes.
    pub peak: u64,
    /// Threads now.
    pub threads: u64,
}

impl Usage {
    /// Reads the usage of this process alone.
    #[must_use]
    pub fn own() -> Option<Self> {
        read("self").map(|(usage, _)| usage)
    }

    /// Reads the usage of a process and all its descendants: a server may have a process for each connection.
    /// Shared memory is counted for each process.
    #[must_use]
    pub fn of_tree(pid: u32) -> Option<Self> {
        let (root, _) = read(&pid.to_string())?;
        let all: Vec<(u32, Self, u32)> = pids()
            .filter_map(|other| read(&other.to_string()).map(|(usage, parent)| (other, usage, parent)))
            .collect();
        let mut tree = vec![pid];
        let mut sum = root;
        // Each iteration adds the children of the next process in the list.
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            for (child, usage, _) in all.iter().filter(|(_, _, of)| *of == parent) {
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

/// Returns how many files this process has open.
#[must_use]
pub fn open_files() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Reads the usage of a process, and its parent.
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

/// Parses the ticks of processor time, with those of children that were waited for, and the parent. See
/// proc_pid_stat(5).
fn times(stat: &str) -> Option<(u64, u32)> {
    // The name is in parentheses, and may itself contain spaces and parentheses.
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
    fn name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 5 0 99";
        assert_eq!(times(stat), Some((100, 3)));
    }

    #[test]
    fn tree_of_the_parent_contains_this_process() {
        let own = Usage::own().unwrap();
        assert!(own.peak >= own.resident && own.resident > 0 && own.threads > 0, "{own:?}");
        let (_, parent) = read("self").unwrap();
        assert!(Usage::of_tree(parent).unwrap().threads > own.threads);
        assert_eq!(Usage::of_tree(u32::MAX), None);
    }
}
