//! Bursts: tokens saved up while there are no calls, the information in a denial, and a change of the rate.
//!
//! `cargo run -p lockgate-limits --example bursts`

#![expect(clippy::print_stdout, reason = "an example prints")]

use lockgate_limits::{Quota, TokenBucket};
use tokio::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let bucket = TokenBucket::starting_at(Quota::per_second(10, 20)?, start);
    let drain = |at: Instant| (0..1_000).take_while(|_| bucket.try_acquire_at(1, at).is_ok()).count();

    for (what, after) in [("at once", 0), ("half a second later", 500), ("a minute later", 60_500)] {
        let at = start + Duration::from_millis(after);
        let taken = drain(at);
        let wait = bucket.try_acquire_at(1, at).err().and_then(|denied| denied.retry_after());
        println!("{what}: {taken} admitted, the next one after {wait:?}");
    }
    let at = start + Duration::from_millis(60_500);
    bucket.set_quota_at(Quota::per_second(100, 20)?, at);
    println!("ten times the rate, at once: {} admitted", drain(at));
    let taken = drain(at + Duration::from_millis(100));
    println!("and 100 ms later: {taken}");
    assert_eq!(taken, 10);
    Ok(())
}
