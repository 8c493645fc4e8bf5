//! The memory engine's broker: a queue is a list of messages, some of them with a subscription.
//!
//! A message has at most one live subscription, and a message that a subscription did not settle becomes
//! ready again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lockgate_core::broker::{
    Broker, Deliveries, Delivery, DeliveryTag, Depth, Disposition, Origin, Rejection,
};
use lockgate_core::dead::{DeadLetter, DeadQuery, Resolution};
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
    /// Notified when a message becomes ready, or when a subscription can prefetch another one.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Store {
    /// By number, in the order of publication. A returned message keeps its number.
    messages: BTreeMap<u64, Message>,
    /// By the number that the message had.
    dead: BTreeMap<u64, Dead>,
    /// The queue of each subscription.
    subscriptions: BTreeMap<u64, QueueName>,
    last_number: u64,
    last_subscription: u64,
}

#[derive(Debug)]
struct Message {
    envelope: Envelope,
    taken_by: Option<u64>,
    delivered: bool,
}

#[derive(Debug)]
struct Dead {
    envelope: Envelope,
    why: Rejection,
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn publish(&self, envelopes: &[Envelope]) -> Result<(), EngineError> {
        let mut store = lock(&self.shared.store);
        for envelope in envelopes {
            store.put(envelope.clone());
        }
        drop(store);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn subscribe(&self, queue: &QueueName, prefetch: u32) -> Result<Box<dyn Deliveries>, EngineError> {
        let mut store = lock(&self.shared.store);
        store.last_subscription += 1;
        let id = store.last_subscription;
        store.subscriptions.insert(id, queue.clone());
        Ok(Box::new(Subscription {
            shared: self.shared.clone(),
            queue: queue.clone(),
            prefetch: usize::try_from(prefetch.max(1)).unwrap_or(usize::MAX),
            id,
        }))
    }

    async fn acknowledge(&self, dispositions: Vec<Disposition>) -> Result<(), EngineError> {
        let mut store = lock(&self.shared.store);
        for disposition in dispositions {
            store.end(&disposition);
        }
        drop(store);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, EngineError> {
        let store = lock(&self.shared.store);
        let dead = store.dead.values().filter(|dead| dead.envelope.queue == *queue).count();
        let mut depth = Depth { dead: u64::try_from(dead).unwrap_or(u64::MAX), ..Depth::default() };
        for message in store.messages.values().filter(|m| m.envelope.queue == *queue) {
            match message.taken_by {
                None => depth.ready += 1,
                Some(_) => depth.in_flight += 1,
            }
        }
        Ok(depth)
    }

    async fn consumers(&self, queue: &QueueName) -> Result<u64, EngineError> {
        let store = lock(&self.shared.store);
        let consumers = store.subscriptions.values().filter(|subscribed| *subscribed == queue).count();
        Ok(u64::try_from(consumers).unwrap_or(u64::MAX))
    }

    async fn dead(&self, query: DeadQuery) -> Result<Vec<DeadLetter>, EngineError> {
        let limit = if query.limit == 0 { 100 } else { query.limit };
        let store = lock(&self.shared.store);
        let asked = store.dead.iter().filter(|(number, dead)| {
            dead.envelope.queue == query.queue && query.id.as_ref().is_none_or(|id| *id == number.to_string())
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(asked.take(limit).map(|(number, dead)| dead.letter(*number, query.id.is_some())).collect())
    }

    async fn resolve(
        &self,
        queue: &QueueName,
        ids: Vec<String>,
        end: Resolution,
    ) -> Result<u64, EngineError> {
        let mut store = lock(&self.shared.store);
        let asked: Vec<u64> = store
            .dead
            .iter()
            .filter(|(_, dead)| dead.envelope.queue == *queue)
            .map(|(number, _)| *number)
            .filter(|number| ids.is_empty() || ids.contains(&number.to_string()))
            .collect();
        for number in &asked {
            if let Some(dead) = store.dead.remove(number)
                && end == Resolution::Replay
            {
                store.put(dead.envelope);
            }
        }
        drop(store);
        self.shared.changed.notify_waiters();
        Ok(u64::try_from(asked.len()).unwrap_or(u64::MAX))
    }
}

impl Dead {
    fn letter(&self, number: u64, with_body: bool) -> DeadLetter {
        DeadLetter {
            id: number.to_string(),
            queue: self.envelope.queue.clone(),
            reason: self.why.reason,
            detail: self.why.detail.clone(),
            kind: Some(self.envelope.kind.to_string()),
            message_id: Some(self.envelope.job.to_string()),
            died_at: None,
            bytes: u64::try_from(self.envelope.payload.len()).unwrap_or(u64::MAX),
            body: with_body.then(|| self.envelope.payload.clone()),
        }
    }
}

impl Store {
    fn put(&mut self, envelope: Envelope) {
        self.last_number += 1;
        let message = Message { envelope, taken_by: None, delivered: false };
        self.messages.insert(self.last_number, message);
    }

    fn end(&mut self, disposition: &Disposition) {
        let DeliveryTag { generation, number } = disposition.tag();
        let Some(message) = self.messages.get_mut(&number).filter(|m| m.taken_by == Some(generation)) else {
            return;
        };
        match disposition {
            Disposition::Return(_) => message.taken_by = None,
            Disposition::Ack(_) => {
                self.messages.remove(&number);
            }
            Disposition::Reject { why, .. } => {
                if let Some(message) = self.messages.remove(&number) {
                    self.dead.insert(number, Dead { envelope: message.envelope, why: why.clone() });
                }
            }
        }
    }

    fn take(&mut self, queue: &QueueName, subscription: u64, prefetch: usize) -> Vec<Delivery> {
        let in_flight = self.messages.values().filter(|m| m.taken_by == Some(subscription)).count();
        self.messages
            .iter_mut()
            .filter(|(_, m)| m.taken_by.is_none() && m.envelope.queue == *queue)
            .take(prefetch.saturating_sub(in_flight))
            .map(|(number, message)| {
                message.taken_by = Some(subscription);
                Delivery {
                    tag: DeliveryTag { generation: subscription, number: *number },
                    message: Ok(message.envelope.clone()),
                    origin: Origin::Dispatcher,
                    redelivered: std::mem::replace(&mut message.delivered, true),
                }
            })
            .collect()
    }
}

struct Subscription {
    shared: Arc<Shared>,
    queue: QueueName,
    prefetch: usize,
    id: u64,
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Result<Vec<Delivery>, EngineError> {
        loop {
            // Register before taking messages, so that a notification between the two is not missed.
            let changed = self.shared.changed.notified();
            let taken = lock(&self.shared.store).take(&self.queue, self.id, self.prefetch);
            if !taken.is_empty() {
                return Ok(taken);
            }
            changed.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut store = lock(&self.shared.store);
        store.subscriptions.remove(&self.id);
        for message in store.messages.values_mut() {
            if message.taken_by == Some(self.id) {
                message.taken_by = None;
            }
        }
        drop(store);
        self.shared.changed.notify_waiters();
    }
}
