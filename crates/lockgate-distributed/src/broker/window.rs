//! What a subscription has unsettled, and how few acknowledgements settle it: pure decisions.
//!
//! It must never acknowledge a delivery that nobody settled: `multiple` covers everything up to a number.

use std::collections::BTreeMap;

/// One frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// All deliveries up to this number are settled.
    AckUpTo(u64),
    /// This one is settled.
    Ack(u64),
    /// This one goes back to its queue. It counts as one of the deliveries that the broker limits.
    Return(u64),
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Ack,
    Return,
}

/// Deliveries by number, those not handed out yet included.
#[derive(Debug)]
pub(super) struct Window<T> {
    unsettled: BTreeMap<u64, T>,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { unsettled: BTreeMap::new() }
    }
}

impl<T> Window<T> {
    pub(super) fn enter(&mut self, number: u64, held: T) {
        self.unsettled.insert(number, held);
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.unsettled.get(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.unsettled.len()
    }

    /// Takes out what ends; one that is not here has ended before and is passed over. What comes before
    /// everything that stays is one frame, a straggler is one of its own.
    pub(super) fn settle(&mut self, ends: impl IntoIterator<Item = (u64, End)>) -> Vec<Frame> {
        let mut acked = Vec::new();
        let mut frames = Vec::new();
        let mut returned = u64::MAX;
        for (number, end) in ends {
            if self.unsettled.remove(&number).is_none() {
                continue;
            }
            match end {
                End::Ack => acked.push(number),
                End::Return => {
                    frames.push(Frame::Return(number));
                    returned = returned.min(number);
                }
            }
        }
        acked.sort_unstable();
        let first_left = self.unsettled.first_key_value().map_or(u64::MAX, |(number, _)| *number);
        let prefix = acked.partition_point(|number| *number < first_left.min(returned));
        let (prefix, stragglers) = acked.split_at(prefix);
        frames.extend(prefix.last().map(|number| Frame::AckUpTo(*number)));
        frames.extend(stragglers.iter().map(|number| Frame::Ack(*number)));
        frames
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn window(numbers: impl IntoIterator<Item = u64>) -> Window<()> {
        let mut window = Window::default();
        numbers.into_iter().for_each(|number| window.enter(number, ()));
        window
    }

    fn acks(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, End)> {
        numbers.into_iter().map(|number| (number, End::Ack)).collect()
    }

    #[test]
    fn a_contiguous_beginning_is_one_frame_whatever_its_order() {
        assert_eq!(window(1..=9).settle(acks([3, 1, 2])), [Frame::AckUpTo(3)]);
        assert_eq!(window(1..=3).settle(acks([3, 1, 2])), [Frame::AckUpTo(3)]);
    }

    #[test]
    fn stragglers_are_single_and_an_earlier_one_closes_the_gap() {
        let mut window = window(1..=5);
        assert_eq!(window.settle(acks([2, 4])), [Frame::Ack(2), Frame::Ack(4)]);
        assert_eq!(window.settle(acks([1, 3])), [Frame::AckUpTo(3)]);
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn what_is_not_there_any_more_is_passed_over() {
        let mut window = window(1..=1);
        assert_eq!(window.settle(acks([1, 1, 7])), [Frame::AckUpTo(1)]);
        assert_eq!(window.settle(acks([1])), []);
    }

    #[test]
    fn a_returned_one_is_not_acknowledged_with_its_neighbours() {
        let ends = [(1, End::Ack), (2, End::Return), (3, End::Ack)];
        assert_eq!(window(1..=3).settle(ends), [Frame::Return(2), Frame::AckUpTo(1), Frame::Ack(3)]);
    }

    proptest! {
        #[test]
        fn the_broker_ends_exactly_what_was_ended(
            held in prop::collection::btree_set(1u64..60, 0..40),
            calls in prop::collection::vec(prop::collection::vec((1u64..60, any::<bool>()), 0..12), 0..6),
        ) {
            let mut window = window(held.iter().copied());
            // The broker's side: what it has out, what came back.
            let (mut out, mut back) = (held.clone(), BTreeSet::new());
            let (mut left, mut returned) = (held, BTreeSet::new());
            for call in calls {
                let mut ends: Vec<(u64, End)> = Vec::new();
                for (number, ack) in call {
                    if left.remove(&number) && !ack {
                        returned.insert(number);
                    }
                    ends.push((number, if ack { End::Ack } else { End::Return }));
                }
                for frame in window.settle(ends) {
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
