//! Decides when the messages of a queue are lost, and for how long their jobs must have been silent.
//!
//! A broker may lose messages that it has confirmed, for example when its disk is replaced. Their jobs are published in the
//! ledger and in no queue. A process can tell this only for a queue that it consumes: the queue is empty, and has been
//! empty for so long that every job which left it has started, has been deferred, or is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::{KindOptions, PoolName, QueueName};
use tokio::time::Instant;

use crate::job::registry::Registry;
use crate::worker::options::PoolPolicy;

/// The shortest time after which a published job that has not started counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// The state of one queue.
#[derive(Debug)]
pub(crate) struct QueueWatch {
    pub(crate) queue: QueueName,
    /// How long a published job of the queue may be silent: twice the longest wait for slots of the queue's kinds.
    lost_after: Duration,
    /// Since when the queue was empty at every observation. `None`: it was not at the latest.
    empty_since: Option<Instant>,
    /// When the recovery that is under way began. Recovered jobs fill the queue again, so a recovery does not look at the
    /// queue any more: it goes on until all jobs that were lost at this moment are due.
    recovering_since: Option<Instant>,
}

impl QueueWatch {
    /// A watch for each queue of these kinds.
    pub(crate) fn all(registry: &Registry, policies: &BTreeMap<PoolName, PoolPolicy>) -> Vec<Self> {
        let of = |queue: QueueName| {
            let kinds = registry.kinds().map(|(_, options)| options).filter(|options| options.queue == queue);
            let lost_after = lost_after(kinds, policies);
            Self { queue, lost_after, empty_since: None, recovering_since: None }
        };
        registry.queues().into_iter().map(of).collect()
    }

    /// Takes note of whether the queue is empty now, and begins a recovery when it has been empty for long enough.
    ///
    /// A job that left the queue last may still wait for slots, for half of `lost_after` at most. So a recovery does not
    /// begin before the queue has been empty for that long.
    pub(crate) fn observe(&mut self, is_empty: bool, now: Instant) {
        let since = is_empty.then(|| self.empty_since.unwrap_or(now));
        self.empty_since = since;
        if since.is_some_and(|since| now.duration_since(since) >= self.lost_after / 2) {
            self.recovering_since.get_or_insert(now);
        }
    }

    /// How long a job must have been silent to be recovered now. `None`: nothing is recovered.
    ///
    /// It grows while the recovery goes on. So what was recovered and published again meanwhile, and waits in the queue, is
    /// not recovered a second time.
    pub(crate) fn silent_for(&self, now: Instant) -> Option<Duration> {
        Some(self.lost_after.saturating_add(now.duration_since(self.recovering_since?)))
    }

    /// Every job that was lost when the recovery began is due again.
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
    fn a_recovery_begins_when_the_queue_has_been_empty_for_the_longest_wait() {
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
    fn a_recovery_goes_on_although_recovered_jobs_fill_the_queue() {
        let (mut watch, start) = (watch(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        watch.observe(true, at(0));
        watch.observe(true, at(60));
        assert_eq!(watch.silent_for(at(60)), Some(Duration::from_secs(120)));
        watch.observe(false, at(70));
        assert_eq!(
            watch.silent_for(at(300)),
            Some(Duration::from_secs(360)),
            "published before the same moment"
        );
        watch.recovered();
        watch.observe(false, at(310));
        assert_eq!(watch.silent_for(at(310)), None);
    }

    #[test]
    fn a_queue_waits_as_long_as_its_own_jobs_may_wait_for_slots() {
        let policy = |secs| PoolPolicy { max_wait: Duration::from_secs(secs), ..PoolPolicy::default() };
        let policies = [("short", 5), ("usual", 60), ("long", 900)]
            .map(|(pool, secs)| (PoolName::new(pool).unwrap(), policy(secs)))
            .into();
        let patience = |pools: &[&str]| {
            let options = JobOptions::queue("q");
            let options = pools.iter().fold(options, |options, pool| options.pool(*pool, 1));
            lost_after([&options.check().unwrap()].into_iter(), &policies)
        };
        assert_eq!(patience(&[]), Duration::from_secs(120));
        assert_eq!(patience(&["usual", "short"]), Duration::from_secs(120));
        assert_eq!(patience(&["short", "long"]), Duration::from_secs(1_800));
    }
}
