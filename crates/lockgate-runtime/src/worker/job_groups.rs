//! Collects deliveries of one kind into job groups. Pure; callers pass the current time.
//!
//! A delivery waits at most [`LINGER`] for its group to fill. A job that was delivered before never joins a
//! group, so that whatever interrupted it does not affect the other jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::Kind;
use lockgate_core::broker::Delivery;
use tokio::time::Instant;

use crate::job::registry::Registry;

/// How long a group waits for more deliveries. Messages of one batch arrive within a few milliseconds of each
/// other.
const LINGER: Duration = Duration::from_millis(20);

/// Groups that are not full yet, at most one for each kind.
#[derive(Default)]
pub(crate) struct OpenGroups {
    groups: BTreeMap<Kind, OpenGroup>,
}

struct OpenGroup {
    deliveries: Vec<Delivery>,
    closes_at: Instant,
}

impl OpenGroups {
    /// Adds a delivery. Returns the deliveries to execute now: the group that is full, or the delivery alone
    /// when its kind has no groups.
    pub(crate) fn add(
        &mut self,
        delivery: Delivery,
        registry: &Registry,
        now: Instant,
    ) -> Option<Vec<Delivery>> {
        let Some((kind, size)) = group_of(&delivery, registry) else { return Some(vec![delivery]) };
        let group = OpenGroup { deliveries: Vec::new(), closes_at: now + LINGER };
        let group = self.groups.entry(kind.clone()).or_insert(group);
        group.deliveries.push(delivery);
        let is_full = group.deliveries.len() >= size;
        is_full.then(|| self.groups.remove(&kind)).flatten().map(|group| group.deliveries)
    }

    /// Returns when the next group closes. `None`: no group is open.
    pub(crate) fn next_close(&self) -> Option<Instant> {
        self.groups.values().map(|group| group.closes_at).min()
    }

    /// Removes and returns the groups whose time is over, full or not.
    pub(crate) fn take_closed(&mut self, now: Instant) -> Vec<Vec<Delivery>> {
        let closed = self.groups.extract_if(.., |_, group| group.closes_at <= now);
        closed.map(|(_, group)| group.deliveries).collect()
    }

    /// Returns the deliveries of all open groups.
    pub(crate) fn into_deliveries(self) -> impl Iterator<Item = Delivery> {
        self.groups.into_values().flat_map(|group| group.deliveries)
    }
}

/// Returns the kind and the size of the group that a delivery may join.
fn group_of(delivery: &Delivery, registry: &Registry) -> Option<(Kind, usize)> {
    let envelope = delivery.message.as_ref().ok()?;
    let group = registry.get(&envelope.kind)?.options.group;
    (group > 1 && delivery.is_fresh())
        .then(|| (envelope.kind.clone(), usize::try_from(group).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use lockgate_core::broker::{DeliveryTag, Origin};
    use lockgate_core::{Envelope, Failure, JobId, JobOptions, Key, QueueName, Tenant};
    use serde::{Deserialize, Serialize};
    use uuid::Uuid;

    use super::*;
    use crate::job::{Context, Job};

    #[derive(Serialize, Deserialize)]
    struct Grouped;

    #[async_trait::async_trait]
    impl Job for Grouped {
        const KIND: &'static str = "grouped";

        fn options() -> JobOptions {
            JobOptions::queue("q").groups_of(3)
        }

        async fn run(self, _: &Context) -> Result<(), Failure> {
            Ok(())
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.add::<Grouped>().unwrap();
        registry
    }

    fn delivery(kind: &str) -> Delivery {
        let envelope = Envelope {
            job: JobId(Uuid::now_v7()),
            kind: Kind::new(kind).unwrap(),
            key: Key::new("k").unwrap(),
            tenant: Tenant::new("k").unwrap(),
            run: None,
            queue: QueueName::new("q").unwrap(),
            dispatch: 1,
            payload: String::new(),
        };
        let tag = DeliveryTag { generation: 1, number: 1 };
        Delivery { tag, message: Ok(envelope), origin: Origin::Dispatcher, redelivered: false }
    }

    #[test]
    fn group_is_ready_when_it_is_full_or_its_time_is_over() {
        let (registry, now) = (registry(), Instant::now());
        let mut groups = OpenGroups::default();
        let mut add = |at| groups.add(delivery("grouped"), &registry, at).map_or(0, |group| group.len());
        assert_eq!([add(now), add(now), add(now), add(now + LINGER / 2)], [0, 0, 3, 0]);
        let closes_at = groups.next_close().unwrap();
        assert_eq!(closes_at, now + LINGER / 2 + LINGER);
        assert!(groups.take_closed(now + LINGER).is_empty());
        assert_eq!(groups.take_closed(closes_at).iter().map(Vec::len).collect::<Vec<_>>(), [1]);
        assert_eq!((groups.next_close(), groups.into_deliveries().count()), (None, 0));
    }

    #[test]
    fn redelivered_and_retried_jobs_and_kinds_without_groups_run_alone_at_once() {
        let (registry, now) = (registry(), Instant::now());
        let mut groups = OpenGroups::default();
        let redelivered = Delivery { redelivered: true, ..delivery("grouped") };
        let mut retried = delivery("grouped");
        retried.message.as_mut().unwrap().dispatch = 2;
        for alone in [redelivered, retried, delivery("unknown")] {
            assert_eq!(groups.add(alone.clone(), &registry, now), Some(vec![alone]));
        }
    }
}
