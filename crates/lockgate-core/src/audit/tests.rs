//! The audit against an observer with a stop watch, and case by case. The observer counts independently of
//! the audit.

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{collection::vec, prop_assert_eq, proptest};
use uuid::Uuid;

use super::*;
use crate::history::HoldEnd;

const START: i64 = 1_767_225_600_000;

fn lease(n: u64) -> LeaseId {
    LeaseId(Uuid::from_u128(u128::from(n)))
}

/// A store that performs every given operation, and what an observer with a stop watch sees.
struct World {
    evidence: Evidence,
    limit: u32,
    /// Current holds in the order of their grants: fence, weight, limit at the grant, and time of the grant.
    held: Vec<(u64, u32, u32, i64)>,
    seen: Seen,
    stretch: i64,
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    grants: u64,
    peak: u32,
    broken: u64,
    above_ms: i64,
    longest_ms: i64,
}

impl World {
    fn new(limit: u32) -> Self {
        let start = HistoryPoint { number: 100, at_ms: START };
        let evidence = Evidence { since: start, now: start, limit, holds: Vec::new(), changes: Vec::new() };
        Self { evidence, limit, held: Vec::new(), seen: Seen::default(), stretch: 0 }
    }

    fn is_above(&self) -> bool {
        let mut height = 0;
        self.held.iter().any(|(_, weight, limit, _)| {
            height += weight;
            height > *limit
        })
    }

    fn pass(&mut self, ms: i64) {
        self.evidence.now.at_ms += ms;
        if self.is_above() {
            self.seen.above_ms += ms;
            self.stretch += ms;
            self.seen.longest_ms = self.seen.longest_ms.max(self.stretch);
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Pass(ms) => self.pass(ms),
            Op::Grant { weight, breaks } => self.grant(weight, breaks),
            Op::End(place) if !self.held.is_empty() => self.end(place % self.held.len()),
            Op::End(_) => {}
            Op::Limit(to) => {
                let HistoryPoint { number, at_ms } = self.evidence.now;
                let change = SlotsChange { at: Timestamp(at_ms), number, from: self.limit, to };
                self.evidence.changes.push(change);
                (self.limit, self.evidence.limit) = (to, to);
            }
        }
        if !self.is_above() {
            self.stretch = 0;
        }
    }

    fn grant(&mut self, weight: u32, breaks: bool) {
        let in_use: u32 = self.held.iter().map(|(_, weight, ..)| weight).sum();
        let fits = in_use + weight <= self.limit;
        if !fits && !breaks {
            return;
        }
        self.evidence.now.number += 1;
        let HistoryPoint { number, at_ms } = self.evidence.now;
        self.held.push((number, weight, self.limit, at_ms));
        self.seen.grants += 1;
        self.seen.broken += u64::from(!fits);
        self.seen.peak = self.seen.peak.max(in_use + weight);
    }

    fn end(&mut self, place: usize) {
        let (fence, weight, _, granted_at) = self.held.remove(place);
        self.evidence.holds.push(Hold {
            lease: lease(fence),
            fence: Fence(fence),
            weight,
            granted_at: Timestamp(granted_at),
            ended: Some(self.evidence.now),
        });
    }

    fn finish(mut self) -> (Evidence, Seen) {
        for (fence, weight, _, granted_at) in self.held {
            let (fence, granted_at) = (Fence(fence), Timestamp(granted_at));
            self.evidence.holds.push(Hold { lease: lease(fence.0), fence, weight, granted_at, ended: None });
        }
        (self.evidence, self.seen)
    }
}

#[derive(Debug, Clone)]
enum Op {
    Pass(i64),
    Grant { weight: u32, breaks: bool },
    End(usize),
    Limit(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..50_i64).prop_map(Op::Pass),
        5 => (1..3_u32, proptest::bool::weighted(0.1)).prop_map(|(weight, breaks)| Op::Grant { weight, breaks }),
        4 => (0..8_usize).prop_map(Op::End),
        1 => (0..7_u32).prop_map(Op::Limit),
        1 => Just(Op::Limit(4)),
    ]
}

fn seen(audit: &Audit) -> Seen {
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap();
    let Audit { grants, peak, broken, .. } = *audit;
    Seen { grants, peak, broken, above_ms: ms(audit.above), longest_ms: ms(audit.longest) }
}

proptest! {
    #[test]
    fn the_record_tells_what_an_observer_saw(ops in vec(op(), 0..80)) {
        let mut world = World::new(4);
        ops.iter().for_each(|op| world.step(op));
        let (evidence, expected) = world.finish();
        prop_assert_eq!(seen(&audit(&evidence)), expected);
    }

    #[test]
    fn who_obeys_every_limit_is_never_above(ops in vec(op(), 0..80)) {
        let mut world = World::new(4);
        for op in &ops {
            match op {
                Op::Grant { weight, .. } => world.step(&Op::Grant { weight: *weight, breaks: false }),
                op => world.step(op),
            }
        }
        let audit = audit(&world.finish().0);
        prop_assert_eq!((audit.is_kept(), audit.above), (true, Duration::ZERO));
    }
}

fn told(limit: u32, ops: &[Op]) -> Audit {
    let mut world = World::new(limit);
    ops.iter().for_each(|op| world.step(op));
    audit(&world.finish().0)
}

const GRANT: Op = Op::Grant { weight: 1, breaks: false };
const BREAK: Op = Op::Grant { weight: 1, breaks: true };

#[test]
fn a_lowered_limit_is_no_broken_promise() {
    let audit = told(2, &[GRANT, GRANT, Op::Limit(1), Op::Pass(50)]);
    assert_eq!((audit.peak, audit.limit, audit.is_kept()), (2, 2, true));
    assert_eq!(audit.above, Duration::ZERO);
}

#[test]
fn a_grant_that_ignores_a_lowered_limit_is_above_until_enough_of_the_older_have_ended() {
    let ops =
        [GRANT, GRANT, Op::Limit(2), Op::Limit(1), Op::End(0), BREAK, Op::Pass(30), Op::End(0), Op::Pass(9)];
    let audit = told(2, &ops);
    assert_eq!((audit.broken, audit.peak, audit.grants), (1, 2, 3));
    assert_eq!([audit.above, audit.longest], [Duration::from_millis(30); 2]);
}

#[test]
fn what_was_granted_before_the_record_began_counts_and_is_not_judged() {
    let mut world = World::new(1);
    world.evidence.since.number = 102;
    [BREAK, BREAK, Op::End(0), Op::End(0), GRANT].iter().for_each(|op| world.step(op));
    let audit = audit(&world.finish().0);
    assert_eq!((audit.peak, audit.grants, audit.broken), (2, 1, 0));
}

#[test]
fn what_ended_while_the_pages_were_read_counts_once_and_what_came_later_not_at_all() {
    let mut world = World::new(2);
    world.step(&GRANT);
    let (mut evidence, _) = world.finish();
    let held = evidence.holds[0];
    let ended = |fence: u64| {
        HistoryEntry::Hold(EndedHold {
            lease: lease(fence),
            fence: Fence(fence),
            weight: 1,
            granted_at: held.granted_at,
            ended_at: held.granted_at.plus(Duration::from_secs(1)),
            number: fence,
            end: HoldEnd::Released,
        })
    };
    let entries = vec![ended(held.fence.0), ended(held.fence.0 + 1)];
    evidence.add(&HistoryPage { since: evidence.since, now: evidence.now, entries, next: None });
    let audit = audit(&evidence);
    assert_eq!((audit.peak, audit.grants), (1, 1));
}

/// A hold of one slot from a millisecond after the start to another, and its evidence so far.
fn hold(n: u64, from_ms: i64, to_ms: Option<i64>) -> Hold {
    let number = |ms: i64| u64::try_from((START + ms) * 1_000).unwrap() + n;
    let ended = to_ms.map(|ms| HistoryPoint { number: number(ms), at_ms: START + ms });
    let granted_at = Timestamp(START + from_ms);
    Hold { lease: lease(n), fence: Fence(number(from_ms)), weight: 1, granted_at, ended }
}

#[test]
fn a_stretch_of_the_record_is_judged_by_its_own_grants_and_limits() {
    let moment =
        |ms: i64| HistoryPoint { number: u64::try_from((START + ms) * 1_000).unwrap(), at_ms: START + ms };
    let change = |ms: i64, from: u32, to: u32| SlotsChange {
        at: Timestamp(START + ms),
        number: moment(ms).number,
        from,
        to,
    };
    // One slot at first and broken at once; two from 100 ms on, and never above; five from 300 ms on.
    let holds = vec![
        hold(1, 10, Some(90)),
        hold(2, 20, Some(80)),
        hold(3, 95, Some(250)),
        hold(4, 150, Some(400)),
        hold(5, 350, None),
    ];
    let changes = vec![change(100, 1, 2), change(300, 2, 5)];
    let whole = Evidence { since: moment(0), now: moment(500), limit: 5, holds, changes };
    assert_eq!((audit(&whole).broken, audit(&whole).limit), (1, 5));

    let during = whole.during(Timestamp(START + 100), Timestamp(START + 200));
    let judged = audit(&during);
    assert_eq!((judged.broken, judged.grants, judged.peak, judged.limit), (0, 1, 2, 2), "{judged:?}");
    assert_eq!((judged.since, judged.until), (Timestamp(START + 100), Timestamp(START + 200)));
    let leases: Vec<LeaseId> = during.holds().iter().map(|hold| hold.lease).collect();
    assert_eq!(leases, [lease(3), lease(4)], "what overlaps it");

    let first = audit(&whole.during(Timestamp(START), Timestamp(START + 50)));
    assert_eq!((first.broken, first.limit, first.above), (1, 1, Duration::from_millis(30)), "{first:?}");
    // Never more than the record covers.
    let early = whole.during(Timestamp(0), Timestamp(START + 9_000));
    assert_eq!((early.since, early.now), (whole.since, whole.now));
}
