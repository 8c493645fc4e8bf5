//! Gathers deliveries of a kind that runs in groups. Pure: it is told what time it is.
//!
//! It must never keep a delivery long for the sake of a fuller group, nor put one in a group that was on its way before:
//! whatever kept that one from its end would keep the others from theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use lockgate_core::Kind;
use lockgate_core::broker::Delivery;
use tokio::time::Instant;

use crate::job::registry::Registry;

/// How long a group waits for more. Messages of one batch arrive within a few milliseconds of each other.
const LINGER: Duration = Duration::from_millis(20);

/// Groups that are not full yet.
#[derive(Default)]
pub(crate) struct Gathering {
    open: BTreeMap<Kind, Open>,
}

struct Open {
    deliveries: Vec<Delivery>,
    closes_at: Instant,
}

impl Gathering {
    /// Takes a delivery in; answers with what is to run now: itself, or the group that it made full.
    pub(crate) fn put(
        &mut self,
        delivery: Delivery,
        registry: &Registry,
        now: Instant,
    ) -> Option<Vec<Delivery>> {
        let Some((kind, size)) = group_of(&delivery, registry) else { return Some(vec![delivery]) };
        let open = Open { deliveries: Vec::new(), closes_at: now + LINGER };
        let open = self.open.entry(kind.clone()).or_insert(open);
        open.deliveries.push(delivery);
        let full = open.deliveries.len() >= size;
        full.then(|| self.open.remove(&kind)).flatten().map(|open| open.deliveries)
    }

    /// When the next group closes, full or not.
    pub(crate) fn closes_at(&self) -> Option<Instant> {
        self.open.values().map(|open| open.closes_at).min()
    }

    /// The groups whose time is over.
    pub(crate) fn closed(&mut self, now: Instant) -> Vec<Vec<Delivery>> {
        self.open.extract_if(.., |_, open| open.closes_at <= now).map(|(_, open)| open.deliveries).collect()
    }

    /// All that is left.
    pub(crate) fn all(self) -> impl Iterator<Item = Delivery> {
        self.open.into_values().flat_map(|open| open.deliveries)
    }
}

/// The kind and the size of the group that it may join.
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
    fn a_full_group_runs_at_once_and_one_that_is_not_when_its_time_is_over() {
        let (registry, now) = (registry(), Instant::now());
        let mut gathering = Gathering::default();
        let mut put = |at| gathering.put(delivery("grouped"), &registry, at).map_or(0, |group| group.len());
        assert_eq!([put(now), put(now), put(now), put(now + LINGER / 2)], [0, 0, 3, 0]);
        let closes_at = gathering.closes_at().unwrap();
        assert_eq!(closes_at, now + LINGER / 2 + LINGER);
        assert!(gathering.closed(now + LINGER).is_empty());
        assert_eq!(gathering.closed(closes_at).iter().map(Vec::len).collect::<Vec<_>>(), [1]);
        assert_eq!((gathering.closes_at(), gathering.all().count()), (None, 0));
    }

    #[test]
    fn what_was_on_its_way_before_and_what_has_no_groups_runs_alone_at_once() {
        let (registry, now) = (registry(), Instant::now());
        let mut gathering = Gathering::default();
        let again = Delivery { redelivered: true, ..delivery("grouped") };
        let mut retried = delivery("grouped");
        retried.message.as_mut().unwrap().dispatch = 2;
        for alone in [again, retried, delivery("unknown")] {
            assert_eq!(gathering.put(alone.clone(), &registry, now), Some(vec![alone]));
        }
    }
}
