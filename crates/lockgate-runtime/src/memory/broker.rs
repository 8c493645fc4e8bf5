//! The memory engine's broker: a queue is a list of messages, some of them with a subscription.
//!
//! It must never hand a message to two living subscriptions, nor lose one that a subscription did not settle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lockgate_core::broker::{Broker, Deliveries, Delivery, DeliveryTag, Depth, Mark};
use lockgate_core::error::EngineError;
use lockgate_core::{Envelope, QueueName};
use tokio::sync::Notify;

use super::lock;

#[derive(Debug, Default)]
pub(super) struct MemoryBroker {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    store: Mutex<Store>,
    /// Rung whenever a message becomes ready, or a window has room again.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Store {
    /// By number: the order of publishing, which a message keeps when it comes back.
    messages: BTreeMap<u64, Message>,
    dead: BTreeMap<QueueName, u64>,
    last_number: u64,
    last_subscription: u64,
}

#[derive(Debug)]
struct Message {
    envelope: Envelope,
    taken_by: Option<u64>,
    delivered: bool,
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError> {
        let mut store = lock(&self.shared.store);
        for envelope in envelopes {
            store.last_number += 1;
            let number = store.last_number;
            let message = Message { envelope: envelope.clone(), taken_by: None, delivered: false };
            store.messages.insert(number, message);
        }
        drop(store);
        self.shared.bell.notify_waiters();
        Ok(())
    }

    async fn subscribe(&self, queue: &QueueName, window: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let mut store = lock(&self.shared.store);
        store.last_subscription += 1;
        Ok(Box::new(Subscription {
            shared: self.shared.clone(),
            queue: queue.clone(),
            window: usize::try_from(window.max(1)).unwrap_or(usize::MAX),
            id: store.last_subscription,
        }))
    }

    async fn settle(&self, marks: Vec<Mark>) -> Result<(), EngineError> {
        let mut store = lock(&self.shared.store);
        for mark in marks {
            store.end(&mark);
        }
        drop(store);
        self.shared.bell.notify_waiters();
        Ok(())
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        let store = lock(&self.shared.store);
        let mut depth = Depth { dead: store.dead.get(queue).copied().unwrap_or(0), ..Depth::default() };
        for message in store.messages.values().filter(|m| m.envelope.queue == *queue) {
            match message.taken_by {
                None => depth.ready += 1,
                Some(_) => depth.unsettled += 1,
            }
        }
        Ok(depth)
    }
}

impl Store {
    fn end(&mut self, mark: &Mark) {
        let DeliveryTag { generation, number } = mark.tag();
        let Some(message) = self.messages.get_mut(&number).filter(|m| m.taken_by == Some(generation)) else {
            return;
        };
        match mark {
            Mark::Return(_) => message.taken_by = None,
            Mark::Ack(_) => {
                self.messages.remove(&number);
            }
            Mark::Reject { .. } => {
                *self.dead.entry(message.envelope.queue.clone()).or_default() += 1;
                self.messages.remove(&number);
            }
        }
    }

    fn take(&mut self, queue: &QueueName, subscription: u64, window: usize) -> Vec<Delivery> {
        let unsettled = self.messages.values().filter(|m| m.taken_by == Some(subscription)).count();
        self.messages
            .iter_mut()
            .filter(|(_, m)| m.taken_by.is_none() && m.envelope.queue == *queue)
            .take(window.saturating_sub(unsettled))
            .map(|(number, message)| {
                message.taken_by = Some(subscription);
                Delivery {
                    tag: DeliveryTag { generation: subscription, number: *number },
                    message: Ok(message.envelope.clone()),
                    redelivered: std::mem::replace(&mut message.delivered, true),
                }
            })
            .collect()
    }
}

struct Subscription {
    shared: Arc<Shared>,
    queue: QueueName,
    window: usize,
    id: u64,
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        loop {
            // In line for the bell before the look, so that what comes between the two is not missed.
            let rung = self.shared.bell.notified();
            let taken = lock(&self.shared.store).take(&self.queue, self.id, self.window);
            if !taken.is_empty() {
                return Ok(taken);
            }
            rung.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for message in lock(&self.shared.store).messages.values_mut() {
            if message.taken_by == Some(self.id) {
                message.taken_by = None;
            }
        }
        self.shared.bell.notify_waiters();
    }
}
