//! The deliveries in flight of a subscription, and the fewest frames that acknowledge some of them. Pure
//! functions.
//!
//! `multiple` acknowledges everything up to a number, so it is used only when nothing before that number is
//! in flight.

use std::collections::BTreeMap;

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Acknowledges all deliveries up to this number.
    AckUpTo(u64),
    /// Acknowledges this delivery.
    Ack(u64),
    /// Returns this delivery to its queue. It counts towards the broker's limit of deliveries.
    Return(u64),
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckKind {
    Ack,
    Return,
}

/// Deliveries by number, including those that were not handed out yet.
#[derive(Debug)]
pub(super) struct InFlight<T> {
    deliveries: BTreeMap<u64, T>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { deliveries: BTreeMap::new() }
    }
}

impl<T> InFlight<T> {
    pub(super) fn insert(&mut self, number: u64, delivery: T) {
        self.deliveries.insert(number, delivery);
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.deliveries.get(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// Removes deliveries, and returns the frames for that. Numbers that are not in flight are skipped. The
    /// acknowledgements before the first remaining delivery take one frame together; each later one takes its
    /// own.
    pub(super) fn acknowledge(&mut self, acks: impl IntoIterator<Item = (u64, AckKind)>) -> Vec<Frame> {
        let mut acked = Vec::new();
        let mut frames = Vec::new();
        let mut returned = u64::MAX;
        for (number, kind) in acks {
            if self.deliveries.remove(&number).is_none() {
                continue;
            }
            match kind {
                AckKind::Ack => acked.push(number),
                AckKind::Return => {
                    frames.push(Frame::Return(number));
                    returned = returned.min(number);
                }
            }
        }
        acked.sort_unstable();
        let first_remaining = self.deliveries.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        let prefix = acked.partition_point(|number| *number < first_remaining.min(returned));
        let (prefix, later) = acked.split_at(prefix);
        frames.extend(prefix.last().map(|number| Frame::AckUpTo(*number)));
        frames.extend(later.iter().map(|number| Frame::Ack(*number)));
        frames
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn in_flight(numbers: impl IntoIterator<Item = u64>) -> InFlight<()> {
        let mut in_flight = InFlight::default();
        numbers.into_iter().for_each(|number| in_flight.insert(number, ()));
        in_flight
    }

    fn acks(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, AckKind)> {
        numbers.into_iter().map(|number| (number, AckKind::Ack)).collect()
    }

    #[test]
    fn acks_of_a_contiguous_prefix_take_one_frame() {
        assert_eq!(in_flight(1..=9).acknowledge(acks([3, 1, 2])), [Frame::AckUpTo(3)]);
        assert_eq!(in_flight(1..=3).acknowledge(acks([3, 1, 2])), [Frame::AckUpTo(3)]);
    }

    #[test]
    fn later_acks_take_one_frame_each_until_the_gap_closes() {
        let mut in_flight = in_flight(1..=5);
        assert_eq!(in_flight.acknowledge(acks([2, 4])), [Frame::Ack(2), Frame::Ack(4)]);
        assert_eq!(in_flight.acknowledge(acks([1, 3])), [Frame::AckUpTo(3)]);
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn deliveries_that_are_not_in_flight_are_skipped() {
        let mut in_flight = in_flight(1..=1);
        assert_eq!(in_flight.acknowledge(acks([1, 1, 7])), [Frame::AckUpTo(1)]);
        assert_eq!(in_flight.acknowledge(acks([1])), []);
    }

    #[test]
    fn returned_delivery_is_not_acknowledged_with_its_neighbours() {
        let acks = [(1, AckKind::Ack), (2, AckKind::Return), (3, AckKind::Ack)];
        assert_eq!(in_flight(1..=3).acknowledge(acks), [Frame::Return(2), Frame::AckUpTo(1), Frame::Ack(3)]);
    }

    proptest! {
        #[test]
        fn broker_ends_exactly_the_acknowledged_and_returned_deliveries(
            delivered in prop::collection::btree_set(1u64..60, 0..40),
            calls in prop::collection::vec(prop::collection::vec((1u64..60, any::<bool>()), 0..12), 0..6),
        ) {
            let mut in_flight = in_flight(delivered.iter().copied());
            // The broker's side: deliveries that are out, and deliveries that came back.
            let (mut out, mut back) = (delivered.clone(), BTreeSet::new());
            let (mut left, mut returned) = (delivered, BTreeSet::new());
            for call in calls {
                let mut acks: Vec<(u64, AckKind)> = Vec::new();
                for (number, ack) in call {
                    if left.remove(&number) && !ack {
                        returned.insert(number);
                    }
                    acks.push((number, if ack { AckKind::Ack } else { AckKind::Return }));
                }
                for frame in in_flight.acknowledge(acks) {
                    match frame {
                        Frame::AckUpTo(number) => out.retain(|n| *n > number),
                        Frame::Ack(number) => prop_assert!(out.remove(&number), "unknown to the broker"),
                        Frame::Return(number) => {
                            prop_assert!(out.remove(&number), "unknown to the broker");
                            back.insert(number);
                        }
                    }
                }
                prop_assert_eq!(&out, &left);
                prop_assert_eq!(&back, &returned);
            }
        }
    }
}
