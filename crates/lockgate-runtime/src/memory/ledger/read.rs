//! Reading. Each result is read under one lock, so it is balanced.

use std::time::Duration;

use lockgate_core::job::JobRow;
use lockgate_core::ledger::{JobQuery, RunQuery};
use lockgate_core::run::{Counts, RunSummary, RunTiming};

use super::{Job, Run, Tables};

const PAGE_SIZE: usize = 100;

impl Tables {
    pub(super) fn runs(&self, query: &RunQuery) -> Vec<RunSummary> {
        let newest_first = self.runs.iter().rev();
        newest_first
            .filter(|run| {
                query
                    .run
                    .as_ref()
                    .is_none_or(|wanted| run.row.name == *wanted || run.row.id.to_string() == wanted.as_str())
            })
            .take(page(query.limit))
            .map(|run| self.summary(run, query.timing))
            .collect()
    }

    pub(super) fn jobs(&self, query: &JobQuery) -> Vec<JobRow> {
        let after = query.after.and_then(|id| self.positions.get(&id).copied()).unwrap_or(0);
        let other = query.absent_from.map(|id| self.run(id).map(|run| &run.keys));
        let absent = |job: &JobRow| match &other {
            Some(Ok(keys)) => !keys.contains(&job.key),
            _ => true,
        };
        self.jobs
            .range(after + 1..)
            .map(|(_, job)| &job.row)
            .filter(|job| query.run.is_none_or(|run| job.run == Some(run)))
            .filter(|job| query.states.is_empty() || query.states.contains(&job.state))
            .filter(|job| query.key.as_ref().is_none_or(|key| job.key == *key))
            .filter(|job| query.ids.is_empty() || query.ids.contains(&job.id))
            .filter(|job| absent(job))
            .take(page(query.limit))
            .cloned()
            .collect()
    }

    fn summary(&self, run: &Run, timing: bool) -> RunSummary {
        let mut counts = Counts::default();
        let mut deferrals = 0;
        for job in self.jobs_of(run.row.id) {
            counts.add(job.row.state, 1);
            deferrals += u64::from(job.row.deferrals);
        }
        let timing = timing.then(|| timing_of(self.jobs_of(run.row.id))).flatten();
        RunSummary { run: run.row.clone(), counts, deferrals, timing }
    }
}

fn page(limit: u32) -> usize {
    match usize::try_from(limit) {
        Ok(0) => PAGE_SIZE,
        Ok(limit) => limit,
        Err(_) => usize::MAX,
    }
}

fn timing_of<'a>(jobs: impl Iterator<Item = &'a Job>) -> Option<RunTiming> {
    let settled: Vec<_> = jobs.filter_map(|job| Some((job.settled_at?, job.row.waited?))).collect();
    let mut waits: Vec<Duration> = settled.iter().map(|(_, waited)| *waited).collect();
    waits.sort_unstable();
    Some(RunTiming {
        first: settled.iter().map(|(at, _)| *at).min()?,
        last: settled.iter().map(|(at, _)| *at).max()?,
        wait_p50: percentile(&waits, 50)?,
        wait_p99: percentile(&waits, 99)?,
    })
}

/// Computes a percentile by nearest rank.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}
