//! Acknowledges in batches: one frame for all deliveries up to the first that is not finished. The rest are
//! acknowledged one by one at the end.

use std::collections::BTreeSet;

use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::mpsc::UnboundedReceiver;

/// The most finished deliveries that one pass reads.
const BATCH: usize = 100;

/// Acknowledges finished deliveries until all senders are dropped.
pub(super) async fn acknowledge(channel: Channel, mut finished: UnboundedReceiver<u64>) {
    let (mut next, mut waiting, mut batch) = (1, BTreeSet::new(), Vec::with_capacity(BATCH));
    while finished.recv_many(&mut batch, BATCH).await > 0 {
        waiting.extend(batch.drain(..));
        let first = next;
        while waiting.remove(&next) {
            next += 1;
        }
        if next > first {
            send(&channel, next - 1, true).await;
        }
    }
    for tag in waiting {
        send(&channel, tag, false).await;
    }
}

async fn send(channel: &Channel, tag: u64, multiple: bool) {
    // If the connection is lost, the consumer fails and ends the measurement.
    drop(channel.basic_ack(tag, BasicAckOptions { multiple }).await);
}
