//! Tiers of an API gateway: each customer has a limit that depends on the tier, and the backend has one for
//! all.
//!
//! `cargo run -p lockgate-limits --example gateway_tiers`

#![expect(clippy::print_stdout, reason = "an example prints")]

use lockgate_limits::{Gate, KeyedLimiter, KeyedOptions, Quota, QuotaError};
use tokio::time::{Duration, Instant};

fn main() -> Result<(), QuotaError> {
    let start = Instant::now();
    let tier = |rate, burst| {
        Quota::per_second(rate, burst).map(|q| KeyedLimiter::starting_at(q, KeyedOptions::default(), start))
    };
    let (free, paid) = (tier(1, 5)?, tier(50, 100)?);
    let backend = Gate::starting_at(Quota::per_second(60, 60)?, 100, start);

    // Two seconds of the same traffic from both, in virtual time: 100 calls a second each.
    let mut passed = [0, 0];
    for n in 0..200u32 {
        let now = start + Duration::from_millis(10) * n;
        for (tier_index, (tier, customer)) in [(&free, "ann"), (&paid, "bob")].into_iter().enumerate() {
            // The customer's own limit first: a call that it denies must not use up the backend's limit.
            let answer = tier.try_acquire_at(&customer, 1, now).and_then(|()| backend.try_enter_at(now));
            if let (Ok(_guard), Some(passed)) = (answer, passed.get_mut(tier_index)) {
                *passed += 1;
            }
        }
    }
    let [ann, bob] = passed;
    println!("ann (free, 1/s, burst 5): {ann} of 200; bob (paid, 50/s, burst 100): {bob} of 200");
    println!("the backend: {:?}", backend.counts());
    assert!(ann <= 5 + 2 && bob <= 60 + 120);
    Ok(())
}
