//! How many of a queue's places in flight the jobs of one kind may fill while they wait.
//!
//! A worker takes a bounded number of deliveries from a queue. Where several kinds share the queue, one whose pool is busy
//! would fill all of them with jobs that wait, and another kind whose pool is free would not be delivered. So each kind
//! leaves some places to every other kind: its jobs go back to the ledger instead of waiting beyond that. Jobs that run may
//! fill all places.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lockgate_core::{Kind, QueueName};

use crate::job::registry::Registry;

/// The shares of all kinds of a worker.
pub(crate) struct Shares {
    kinds: BTreeMap<Kind, Share>,
}

#[derive(Debug, Clone)]
struct Share {
    /// Deliveries of the kind in flight.
    in_flight: Arc<AtomicUsize>,
    /// The most of them with which another one may wait. `None`: the kind has its queue for itself.
    most: Option<usize>,
}

impl Shares {
    pub(crate) fn new(registry: &Registry, concurrency: u32) -> Self {
        let share = |queue: &QueueName| {
            let (kinds, places) = (kinds_of(registry, queue), prefetch(registry, queue, concurrency));
            let places = usize::try_from(places).unwrap_or(usize::MAX);
            Share { in_flight: Arc::default(), most: (kinds > 1).then(|| most(places, kinds)) }
        };
        let kinds = registry.kinds().map(|(kind, options)| (kind.clone(), share(&options.queue)));
        Self { kinds: kinds.collect() }
    }

    /// Counts a delivery of this kind until the answer is dropped.
    pub(crate) fn enter(&self, kind: &Kind) -> InFlight {
        let share = self.kinds.get(kind).cloned();
        let share = share.unwrap_or_else(|| Share { in_flight: Arc::default(), most: None });
        share.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { share, left: AtomicBool::new(false) }
    }
}

/// How many deliveries of a queue may be in flight: the queue's part of the worker's concurrency, at least one for each of
/// its kinds.
pub(crate) fn prefetch(registry: &Registry, queue: &QueueName, concurrency: u32) -> u32 {
    let queues = u32::try_from(registry.queues().len()).unwrap_or(u32::MAX);
    let kinds = u32::try_from(kinds_of(registry, queue)).unwrap_or(u32::MAX);
    (concurrency / queues.max(1)).max(kinds).max(1)
}

fn kinds_of(registry: &Registry, queue: &QueueName) -> usize {
    registry.kinds().filter(|(_, options)| options.queue == *queue).count()
}

/// Half of the places is divided among the kinds, and each leaves the others theirs; so about half is free for whichever
/// kind needs it.
fn most(places: usize, kinds: usize) -> usize {
    let reserved = (places / (2 * kinds)).max(1);
    places.saturating_sub(reserved * (kinds - 1)).max(1)
}

/// A delivery in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    share: Share,
    left: AtomicBool,
}

impl InFlight {
    /// Whether the kind shares its queue with others.
    pub(crate) fn is_limited(&self) -> bool {
        self.share.most.is_some()
    }

    /// Stops counting the delivery when its kind has more in flight than its share, and answers whether it has: then the
    /// delivery must not wait. Of many that ask at once, no more than are too many leave.
    pub(crate) fn leave_if_crowded(&self) -> bool {
        let Some(most) = self.share.most else { return false };
        let leave = |count: usize| if count > most { count.checked_sub(1) } else { None };
        let leaves = self.share.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, leave).is_ok();
        if leaves {
            self.left.store(true, Ordering::Relaxed);
        }
        leaves
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed) {
            self.share.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_leaves_places_to_every_other() {
        for kinds in 2..=20 {
            for places in kinds..=200 {
                let left = places - most(places, kinds);
                assert!(left >= kinds - 1, "{kinds} kinds leave {left} of {places}");
                assert!(places < 2 * kinds || left <= places / 2, "{kinds} kinds leave {left} of {places}");
            }
        }
        assert_eq!(most(64, 2), 48);
    }

    #[test]
    fn no_more_leave_than_are_too_many() {
        let share = Share { in_flight: Arc::default(), most: Some(3) };
        let shares = Shares { kinds: BTreeMap::from([(Kind::new("k").unwrap(), share.clone())]) };
        let crowd: Vec<InFlight> = (0..5).map(|_| shares.enter(&Kind::new("k").unwrap())).collect();
        assert_eq!(crowd.iter().filter(|one| one.leave_if_crowded()).count(), 2);
        drop(crowd);
        assert_eq!(share.in_flight.load(Ordering::Relaxed), 0);
    }
}
