//! One of several processes that share a rate. Spends a token for each byte that it sends to a receiver,
//! which counts them.
//!
//! `cargo run -p lockgate-distributed --example shared_rate -- redis://127.0.0.1/ my-namespace 1000/s 100
//! 127.0.0.1:9000`
//!
//! Begins when the receiver sends a byte, and ends when the receiver closes the connection.

use std::time::Duration;

use lockgate_distributed::{RedisOptions, RedisSlots, RedisTokenStore};
use lockgate_limits::{DistributedLimiter, Quota, TokenStoreError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut args = std::env::args().skip(1);
    let mut next = |what: &str| args.next().ok_or_else(|| format!("the argument {what} is missing"));
    let (url, namespace) = (next("URL of Redis")?, next("NAMESPACE")?);
    let quota = Quota::new(next("RATE")?.parse()?, next("BURST")?.parse()?)?;
    let receiver = next("RECEIVER")?;

    let slots = RedisSlots::connect(RedisOptions::new(url, namespace.as_str())).await?;
    let limiter =
        DistributedLimiter::new(RedisTokenStore::sharing_connection(&slots, &namespace), "shared", quota);
    let mut stream = TcpStream::connect(receiver).await?;
    stream.set_nodelay(true)?;
    stream.read_u8().await?;
    loop {
        match limiter.acquire(1).await {
            Ok(()) if stream.write_u8(1).await.is_ok() => {}
            Ok(()) => break,
            // No token is available while the store is unreachable.
            Err(TokenStoreError::Store(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error.into()),
        }
    }
    limiter.give_back().await.ok();
    Ok(())
}
