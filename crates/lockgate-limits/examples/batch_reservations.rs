//! A batch job that must know whether it can finish in time: it reserves all its calls, or none.
//!
//! `cargo run -p lockgate-limits --example batch_reservations`

#![expect(clippy::print_stdout, reason = "an example prints")]

use lockgate_limits::{Quota, TokenBucket};
use tokio::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let bucket = TokenBucket::starting_at(Quota::per_second(100, 200)?, start);

    // Five batches of 150 calls within five seconds: each knows its moment at once, in the order of the
    // requests.
    let mut batches = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        match bucket.reserve_at(150, Duration::from_secs(5), start) {
            Ok(reservation) => {
                println!("batch {name}: ready after {:?}", reservation.ready_at() - start);
                batches.push((name, reservation));
            }
            Err(denied) => {
                println!("batch {name}: not within 5 s; ask again after {:?}", denied.retry_after())
            }
        }
    }
    // The last one is not needed after all: its tokens become available to others.
    if let Some((name, reservation)) = batches.pop() {
        println!("batch {name}: cancelled, {:?}", reservation.cancel_at(start));
    }
    for (name, mut reservation) in batches {
        let at = reservation.ready_at();
        reservation.execute_at(at)?;
        println!("batch {name}: executed after {:?}", at - start);
    }
    let status = bucket.status_at(start + Duration::from_secs(3));
    assert_eq!((status.allowed, status.held), (450, 0));
    Ok(())
}
