//! Every order of the ledger's atomic steps, for two and three threads: `RUSTFLAGS="--cfg loom" cargo test --lib`.

use super::*;
use loom::sync::Arc;
use loom::thread;

const SECOND: u64 = 1_000_000_000;

fn ledger(rate: u32, burst: u32) -> Arc<Ledger> {
    Arc::new(Ledger::new(Quota::per_second(rate, burst).unwrap()))
}

/// Three pre-emptions are enough to see each of these tests red when its rule is broken, and take seconds.
fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

#[test]
fn the_last_token_goes_to_one() {
    check(|| {
        let ledger = ledger(1, 1);
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.charge(0, 1, || 0).is_ok())
        };
        let mine = ledger.charge(0, 1, || 0).is_ok();
        assert!(mine ^ other.join().unwrap());
    });
}

#[test]
fn a_charge_beside_a_change_of_rate_gets_no_token_twice() {
    check(|| {
        let ledger = ledger(1, 2);
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.set_quota(0, Quota::per_second(1_000, 2).unwrap(), || 0))
        };
        let mine = u64::from(ledger.charge(0, 1, || 0).is_ok());
        other.join().unwrap();
        assert_eq!(mine + ledger.level(0, 0).tokens, 2);
    });
}

#[test]
fn a_refund_beside_a_charge_is_neither_lost_nor_doubled() {
    check(|| {
        let ledger = ledger(1, 2);
        assert!(ledger.charge(0, 2, || 0).is_ok());
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.refund(0, Tokens::Exactly(1), || 0))
        };
        let mine = u64::from(ledger.charge(0, 1, || 0).is_ok());
        other.join().unwrap();
        assert_eq!(mine + ledger.level(0, 0).tokens, 1);
    });
}

#[test]
fn what_another_comes_to_hold_is_part_of_the_burst() {
    check(|| {
        // Long idle: the bucket is full whatever was drawn before, and only what is held may say otherwise.
        let ledger = ledger(1, 2);
        let held = Arc::new(AtomicU64::new(0));
        let later = 100 * SECOND;
        let other = {
            let (ledger, held) = (Arc::clone(&ledger), Arc::clone(&held));
            thread::spawn(move || {
                held.fetch_add(1, Ordering::AcqRel);
                let mine = held.load(Ordering::Acquire) - 1;
                ledger.promise(later, 1, 0, || mine).is_ok()
            })
        };
        let mine = ledger.charge(2 * later, 1, || held.load(Ordering::Acquire)).is_ok();
        let unspent = u64::from(other.join().unwrap());
        // At that moment what was just spent, what is unspent and what is left are a burst together.
        let left = ledger.level(2 * later, unspent).tokens;
        assert!(u64::from(mine) + unspent + left <= 2, "{mine} {unspent} {left}");
    });
}
