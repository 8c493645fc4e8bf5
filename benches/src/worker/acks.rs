//! Acknowledgements in groups: the longest run of settled deliveries with one frame, the rest one by one.
//!
//! It must never acknowledge a delivery that was not settled.

use std::collections::BTreeSet;

use lapin::Channel;
use lapin::options::BasicAckOptions;
use tokio::sync::mpsc::UnboundedReceiver;

/// Acknowledgements in one group at most.
const GROUP: usize = 100;

/// Acknowledges what comes, until nobody can settle more.
pub(super) async fn acknowledge(channel: Channel, mut settled: UnboundedReceiver<u64>) {
    let (mut next, mut waiting, mut group) = (1, BTreeSet::new(), Vec::with_capacity(GROUP));
    while settled.recv_many(&mut group, GROUP).await > 0 {
        waiting.extend(group.drain(..));
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
    // A lost connection ends the whole measurement by the consumer.
    drop(channel.basic_ack(tag, BasicAckOptions { multiple }).await);
}
