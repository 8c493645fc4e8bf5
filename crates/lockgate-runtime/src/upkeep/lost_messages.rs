//! Decides when the messages of a queue are lost, and for how long their jobs must have been silent.
//!
//! A broker may lose messages that it has confirmed, for example when its disk is replaced. Their jobs are
//! published in the ledger, but in no queue. A process can detect this only for a queue that it consumes: the
//! queue has been empty long enough that every job which left it has started, has been deferred, or is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::{KindOptions, PoolName, QueueName};
use tokio::time::Instant;

use crate::executor::pool_policy::PoolPolicy;
use crate::job::registry::Registry;

/// The shortest time after which a published job that has not started counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// Detects lost messages of one queue.
#[derive(Debug)]
pub(crate) struct QueueWatch {
    pub(crate) queue: QueueName,
    /// How long a published job of the queue may be silent: at least two minutes, and twice the longest wait
    /// for slots of the queue's kinds.
    lost_after: Duration,
    /// Since when the queue was empty at every observation. `None`: it was not empty at the latest one.
    empty_since: Option<Instant>,
    /// When the current recovery began. `None`: no recovery is under way. Recovered jobs fill the queue
    /// again, so a recovery ignores the queue and continues until all jobs that were lost at this moment are
    /// due.
    recovering_since: Option<Instant>,
}

impl QueueWatch {
    /// Creates a watch for each queue of the registered kinds.
    pub(crate) fn all(registry: &Registry, policies: &BTreeMap<PoolName, PoolPolicy>) -> Vec<Self> {
        let of = |queue: QueueName| {
            let kinds = registry.kinds().map(|(_, options)| options).filter(|options| options.queue == queue);
            let lost_after = lost_after(kinds, policies);
            Self { queue, lost_after, empty_since: None, recovering_since: None }
        };
        registry.queues().into_iter().map(of).collect()
    }

    /// Records whether the queue is empty now. Begins a recovery when it has been empty for half of
    /// `lost_after`: the job that left the queue last waits for slots no longer than that.
    pub(crate) fn observe(&mut self, is_empty: bool, now: Instant) {
        let since = is_empty.then(|| self.empty_since.unwrap_or(now));
        self.empty_since = since;
        if since.is_some_and(|since| now.duration_since(since) >= self.lost_after / 2) {
            self.recovering_since.get_or_insert(now);
        }
    }

    /// Returns how long a job must have been silent to be recovered now. `None`: nothing is recovered.
    ///
    /// The duration grows during a recovery, so a job that was recovered and published again, and waits in
    /// the queue, is not recovered a second time.
    pub(crate) fn silent_for(&self, now: Instant) -> Option<Duration> {
        Some(self.lost_after.saturating_add(now.duration_since(self.recovering_since?)))
    }

    /// Ends the recovery, because every job that was lost when it began is due again.
    pub(crate) fn recovered(&mut self) {
        self.recovering_since = None;
    }
}

fn lost_after<'k>(
    kinds: impl Iterator<Item = &'k KindOptions>,
    policies: &BTreeMap<PoolName, PoolPolicy>,
) -> Duration {
    let policies = kinds.flat_map(|kind| &kind.needs).map(|need| policies.get(&need.pool).copied());
    let longest = policies.map(|policy| policy.unwrap_or_default().max_wait).max().unwrap_or_default();
    LOST_AFTER.max(longest.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use lockgate_core::JobOptions;

    use super::*;

    fn watch() -> QueueWatch {
        let queue = QueueName::new("q").unwrap();
        QueueWatch { queue, lost_after: Duration::from_secs(120), empty_since: None, recovering_since: None }
    }

    #[test]
    fn recovery_begins_when_the_queue_has_been_empty_for_the_longest_wait() {
        let (mut watch, start) = (watch(), Instant::now());
        let mut begins = |secs, is_empty| {
            watch.observe(is_empty, start + Duration::from_secs(secs));
            watch.recovering_since.take().is_some()
        };
        let observed = [begins(0, false), begins(10, true), begins(69, true), begins(70, true)];
        assert_eq!(observed, [false, false, false, true]);
        let observed = [begins(80, false), begins(90, true), begins(149, true), begins(150, true)];
        assert_eq!(observed, [false, false, false, true]);
    }

    #[test]
    fn recovery_continues_although_recovered_jobs_fill_the_queue() {
        let (mut watch, start) = (watch(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        watch.observe(true, at(0));
        watch.observe(true, at(60));
        assert_eq!(watch.silent_for(at(60)), Some(Duration::from_secs(120)));
        watch.observe(false, at(70));
        assert_eq!(
            watch.silent_for(at(300)),
            Some(Duration::from_secs(360)),
            "only jobs published before the recovery began"
        );
        watch.recovered();
        watch.observe(false, at(310));
        assert_eq!(watch.silent_for(at(310)), None);
    }

    #[test]
    fn lost_after_is_twice_the_longest_wait_of_the_queues_own_pools() {
        let policy = |secs| PoolPolicy { max_wait: Duration::from_secs(secs), ..PoolPolicy::default() };
        let policies = [("short", 5), ("usual", 60), ("long", 900)]
            .map(|(pool, secs)| (PoolName::new(pool).unwrap(), policy(secs)))
            .into();
        let lost_after_of = |pools: &[&str]| {
            let options = JobOptions::queue("q");
            let options = pools.iter().fold(options, |options, pool| options.pool(*pool, 1));
            lost_after([&options.check().unwrap()].into_iter(), &policies)
        };
        assert_eq!(lost_after_of(&[]), Duration::from_secs(120));
        assert_eq!(lost_after_of(&["usual", "short"]), Duration::from_secs(120));
        assert_eq!(lost_after_of(&["short", "long"]), Duration::from_secs(1_800));
    }
}
