//! Every queue that we declare, and how.
//!
//! It must never change an argument lightly: a server refuses to declare a queue otherwise than it is, so
//! that each change makes somebody drain and delete queues. What may be tuned is tuned by policy.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lockgate_core::QueueName;
use lockgate_core::error::{EngineError, chain};

use super::failure::{driver, soft};
use super::message::text;

/// What the name of a dead-letter queue ends with.
pub(super) const DEAD_SUFFIX: &str = ".dead";

/// Deliveries without an end before the broker itself makes a message a dead letter. A backstop only: a job
/// that kills its process is stopped by the ledger at its fourth recorded start. It is generous because
/// innocent messages of the same window count along whenever a process dies or a connection is lost.
pub(super) const DELIVERY_LIMIT: i64 = 20;

/// Messages in a queue. Far more than dispatchers put there, so that only a runaway client meets it; a
/// publisher is refused then, and nothing is dropped.
pub(super) const MAX_MESSAGES: i64 = 10_000_000;

/// Bytes in a queue: what a disk of a usual size has.
pub(super) const MAX_BYTES: i64 = 8 * 1024 * 1024 * 1024;

/// Dead letters of a queue. More than a person reads, few enough to look through in a minute. When they are
/// full, messages that nobody can handle stay with their workers, seen in logs and metrics, until someone
/// makes room.
pub(super) const MAX_DEAD_LETTERS: i64 = 100_000;

/// Bytes of dead letters of a queue: bodies are kept as they came, also those that are too long to be a
/// payload.
pub(super) const MAX_DEAD_BYTES: i64 = 2 * 1024 * 1024 * 1024;

/// To look at dead letters is to take them and give them back, which counts as a delivery. So this is
/// "never"; minus one, which newer servers read so, older ones refuse, and no argument at all is 20 on newer
/// ones.
pub(super) const DEAD_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// What the server counts of a queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) ready: u64,
    pub(super) consumers: u64,
}

/// The names of queues on the server.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// With a prefix that was checked: every name fits an AMQP short string.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn queue(&self, queue: &QueueName) -> ShortString {
        format!("{}{queue}", self.prefix).into()
    }

    pub(super) fn dead(&self, queue: &QueueName) -> ShortString {
        format!("{}{queue}{DEAD_SUFFIX}", self.prefix).into()
    }

    /// A queue that is named like another's dead letters would mix with them.
    pub(super) fn check(queue: &QueueName) -> Result<(), EngineError> {
        if queue.as_str().ends_with(DEAD_SUFFIX) {
            let reason =
                format!("the queue {queue} cannot end with {DEAD_SUFFIX:?}: that is for dead letters");
            return Err(EngineError::Conflict { reason });
        }
        Ok(())
    }

    /// Declares a queue with its dead letters. The channel is of no use after an error.
    pub(super) async fn declare(&self, channel: &Channel, queue: &QueueName) -> Result<(), EngineError> {
        Self::check(queue)?;
        let dead = self.dead(queue);
        let main = arguments(&[
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(dead.as_str())),
            // Kept until the dead-letter queue has it, instead of sent once and hoped for.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-max-length", AMQPValue::LongLongInt(MAX_MESSAGES)),
            ("x-max-length-bytes", AMQPValue::LongLongInt(MAX_BYTES)),
        ]);
        let letters = arguments(&[
            ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
            ("x-max-length", AMQPValue::LongLongInt(MAX_DEAD_LETTERS)),
            ("x-max-length-bytes", AMQPValue::LongLongInt(MAX_DEAD_BYTES)),
        ]);
        // The dead letters first: a message must never die before they are there.
        for (name, arguments) in [(dead, letters), (self.queue(queue), main)] {
            let declared =
                channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments).await;
            declared.map_err(|error| refused(name.as_str(), error))?;
        }
        Ok(())
    }

    /// How many messages of a queue are ready, and how many consumers it has; `None`: there is no such queue,
    /// and the channel is gone.
    pub(super) async fn counts(channel: &Channel, name: ShortString) -> Result<Option<Counts>, EngineError> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
        match channel.queue_declare(name, passive, FieldTable::default()).await {
            Ok(queue) => Ok(Some(Counts {
                ready: queue.message_count().into(),
                consumers: queue.consumer_count().into(),
            })),
            Err(error) if soft(&error) == Some(AMQPSoftError::NOTFOUND) => Ok(None),
            Err(error) => Err(driver("counting messages", error)),
        }
    }
}

/// What all queues have: copies on most nodes of a cluster, and a refusal when full instead of a silent loss.
fn arguments(own: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    table.insert("x-overflow".into(), text("reject-publish"));
    for (name, value) in own {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn refused(name: &str, error: lapin::Error) -> EngineError {
    if soft(&error) == Some(AMQPSoftError::PRECONDITIONFAILED) {
        let reason = format!(
            "the broker has a queue {name} that was declared otherwise ({}); let it run empty and delete it \
             (rabbitmqctl delete_queue {name}), or set another prefix",
            chain(&error)
        );
        return EngineError::Conflict { reason };
    }
    driver(&format!("declaring the queue {name}"), error)
}

#[cfg(test)]
mod tests {
    use lockgate_core::name::MAX_NAME_BYTES;

    use super::super::options::MAX_PREFIX_BYTES;
    use super::*;

    #[test]
    fn the_longest_name_fits() {
        let names = Names::new("p".repeat(MAX_PREFIX_BYTES));
        let longest = QueueName::new("q".repeat(MAX_NAME_BYTES)).unwrap();
        assert_eq!(names.dead(&longest).as_str().len(), 255);
    }

    #[test]
    fn a_queue_is_not_named_like_dead_letters() {
        assert!(Names::check(&QueueName::new("q.dead").unwrap()).is_err());
        assert!(Names::check(&QueueName::new("dead").unwrap()).is_ok());
    }
}
