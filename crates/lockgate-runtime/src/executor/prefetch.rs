//! Divides the prefetch of a queue among the kinds that share it.
//!
//! A worker has a bounded number of deliveries of a queue in flight. Without shares, jobs of a kind whose
//! pool is busy would occupy the whole prefetch while they wait, and jobs of another kind, whose pool is
//! free, would not be delivered. So a kind leaves a few places to each other kind of its queue: a job beyond
//! the kind's share is deferred instead of waiting. Jobs that run may occupy all places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lockgate_core::{Kind, QueueName};

use crate::job::registry::Registry;

/// The shares of all kinds of a worker.
pub(crate) struct PrefetchShares {
    kinds: BTreeMap<Kind, KindShare>,
}

#[derive(Debug, Clone)]
struct KindShare {
    /// Deliveries of the kind in flight.
    in_flight: Arc<AtomicUsize>,
    /// Deliveries of the kind that may be in flight when one of them waits. `None`: no other kind uses the
    /// queue.
    max: Option<usize>,
}

impl PrefetchShares {
    pub(crate) fn new(registry: &Registry, concurrency: u32) -> Self {
        let share = |queue: &QueueName| {
            let (kinds, places) = (kinds_of(registry, queue), prefetch(registry, queue, concurrency));
            let places = usize::try_from(places).unwrap_or(usize::MAX);
            KindShare { in_flight: Arc::default(), max: (kinds > 1).then(|| max_share(places, kinds)) }
        };
        let kinds = registry.kinds().map(|(kind, options)| (kind.clone(), share(&options.queue)));
        Self { kinds: kinds.collect() }
    }

    /// Counts a delivery of `kind` until the returned value is dropped.
    pub(crate) fn enter(&self, kind: &Kind) -> InFlight {
        let share = self.kinds.get(kind).cloned();
        let share = share.unwrap_or_else(|| KindShare { in_flight: Arc::default(), max: None });
        share.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { share, has_left: AtomicBool::new(false) }
    }
}

/// Returns how many deliveries of a queue may be in flight: the queue's part of the worker's concurrency, at
/// least one for each of its kinds.
pub(crate) fn prefetch(registry: &Registry, queue: &QueueName, concurrency: u32) -> u32 {
    let queues = u32::try_from(registry.queues().len()).unwrap_or(u32::MAX);
    let kinds = u32::try_from(kinds_of(registry, queue)).unwrap_or(u32::MAX);
    (concurrency / queues.max(1)).max(kinds).max(1)
}

fn kinds_of(registry: &Registry, queue: &QueueName) -> usize {
    registry.kinds().filter(|(_, options)| options.queue == *queue).count()
}

/// Half of the places is divided among the kinds, and each kind leaves the parts of the others free. So about
/// half of the places remains for whichever kind needs them.
fn max_share(places: usize, kinds: usize) -> usize {
    let reserved = (places / (2 * kinds)).max(1);
    places.saturating_sub(reserved * (kinds - 1)).max(1)
}

/// A delivery that counts towards the share of its kind.
#[derive(Debug)]
pub(crate) struct InFlight {
    share: KindShare,
    has_left: AtomicBool,
}

impl InFlight {
    /// Returns whether the kind shares its queue with other kinds.
    pub(crate) fn is_limited(&self) -> bool {
        self.share.max.is_some()
    }

    /// Stops counting the delivery when its kind exceeds its share. Returns whether it did: the delivery must
    /// not wait then. When many deliveries call this at once, only as many leave as exceed the share.
    pub(crate) fn leave_if_over_share(&self) -> bool {
        let Some(max) = self.share.max else { return false };
        let leave = |count: usize| if count > max { count.checked_sub(1) } else { None };
        let leaves = self.share.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, leave).is_ok();
        if leaves {
            self.has_left.store(true, Ordering::Relaxed);
        }
        leaves
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.has_left.load(Ordering::Relaxed) {
            self.share.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_leaves_places_to_every_other_kind() {
        for kinds in 2..=20 {
            for places in kinds..=200 {
                let free = places - max_share(places, kinds);
                assert!(free >= kinds - 1, "{kinds} kinds leave {free} of {places}");
                assert!(places < 2 * kinds || free <= places / 2, "{kinds} kinds leave {free} of {places}");
            }
        }
        assert_eq!(max_share(64, 2), 48);
    }

    #[test]
    fn only_deliveries_that_exceed_the_share_leave() {
        let share = KindShare { in_flight: Arc::default(), max: Some(3) };
        let shares = PrefetchShares { kinds: BTreeMap::from([(Kind::new("k").unwrap(), share.clone())]) };
        let deliveries: Vec<InFlight> = (0..5).map(|_| shares.enter(&Kind::new("k").unwrap())).collect();
        assert_eq!(deliveries.iter().filter(|delivery| delivery.leave_if_over_share()).count(), 2);
        drop(deliveries);
        assert_eq!(share.in_flight.load(Ordering::Relaxed), 0);
    }
}
