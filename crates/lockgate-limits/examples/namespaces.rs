//! Processes that share limits by name: mail and search are independent, two processes of mail are not.
//!
//! `cargo run -p lockgate-limits --example namespaces`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;

use lockgate_limits::{DistributedLimiter, MemoryTokenStore, Quota};
use tokio::time::Instant;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One store for all. Real processes would use a server.
    let store = Arc::new(MemoryTokenStore::new());
    let quota = Quota::per_second(100, 50)?;
    let process = |namespace| DistributedLimiter::new(Arc::clone(&store), namespace, quota);
    let (mail_1, mail_2, search) = (process("mail"), process("mail"), process("search"));

    let start = Instant::now();
    let work = async |limiter: DistributedLimiter<Arc<MemoryTokenStore>>| {
        for _ in 0..100 {
            limiter.acquire(1).await?;
        }
        limiter.give_back().await.map_err(lockgate_limits::TokenStoreError::Store)?;
        Ok::<_, lockgate_limits::TokenStoreError>(start.elapsed())
    };
    let (mail_1, mail_2, search) = tokio::try_join!(work(mail_1), work(mail_2), work(search))?;
    println!("100 calls each, at 100/s and burst 50, on a paused clock:");
    println!("mail: {mail_1:?} and {mail_2:?}; search: {search:?}");
    assert!(mail_1.max(mail_2) > search);
    Ok(())
}
