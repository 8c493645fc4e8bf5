//! The queues that this program declares, and their arguments.
//!
//! The server refuses to declare an existing queue with other arguments, so after a change of an argument
//! somebody has to drain and delete queues. What users may want to tune is left to policies.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lockgate_core::QueueName;
use lockgate_core::error::{EngineError, chain};

use super::failure::{driver, soft};
use super::message::text;

/// Suffix of the names of dead-letter queues.
pub(super) const DEAD_SUFFIX: &str = ".dead";

/// Deliveries without an acknowledgement before the broker itself makes a message a dead letter. This is only
/// a backstop: the ledger stops a job that kills its process at its fourth recorded start. It is generous,
/// because innocent messages of the same prefetch count along whenever a process dies or a connection is
/// lost.
pub(super) const DELIVERY_LIMIT: i64 = 20;

/// Most messages in a queue. Far more than dispatchers publish, so only a runaway client reaches it. Then the
/// broker refuses further messages, and drops none.
pub(super) const MAX_MESSAGES: i64 = 10_000_000;

/// Most bytes in a queue: what a disk of usual size can hold.
pub(super) const MAX_BYTES: i64 = 8 * 1024 * 1024 * 1024;

/// Most dead letters of a queue. More than a person reads, and few enough to search in a minute. When the
/// queue is full, messages that nobody can handle stay with their workers, visible in logs and metrics, until
/// somebody makes room.
pub(super) const MAX_DEAD_LETTERS: i64 = 100_000;

/// Most bytes of dead letters of a queue. Bodies are kept as they arrived, even when they are too long for a
/// payload.
pub(super) const MAX_DEAD_BYTES: i64 = 2 * 1024 * 1024 * 1024;

/// Delivery limit of dead letters. Reading a dead letter fetches and requeues it, which counts as a delivery,
/// so this is large enough to mean "never". Older servers refuse -1, and newer ones use 20 when the argument
/// is missing.
pub(super) const DEAD_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// The server's counts of a queue.
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
    /// Creates the names from a checked prefix, so that every name fits an AMQP short string.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn queue(&self, queue: &QueueName) -> ShortString {
        format!("{}{queue}", self.prefix).into()
    }

    pub(super) fn dead(&self, queue: &QueueName) -> ShortString {
        format!("{}{queue}{DEAD_SUFFIX}", self.prefix).into()
    }

    /// Checks that the name of a queue does not collide with the dead letters of another one.
    pub(super) fn check(queue: &QueueName) -> Result<(), EngineError> {
        if queue.as_str().ends_with(DEAD_SUFFIX) {
            let reason = format!(
                "the queue name {queue} cannot end with {DEAD_SUFFIX:?}, which is reserved for dead letters"
            );
            return Err(EngineError::Conflict { reason });
        }
        Ok(())
    }

    /// Declares a queue and its dead letters. The channel is unusable after an error.
    pub(super) async fn declare(&self, channel: &Channel, queue: &QueueName) -> Result<(), EngineError> {
        Self::check(queue)?;
        let dead = self.dead(queue);
        let main = arguments(&[
            ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(dead.as_str())),
            // The message is kept until the dead-letter queue has stored it. The default strategy may lose
            // it.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-max-length", AMQPValue::LongLongInt(MAX_MESSAGES)),
            ("x-max-length-bytes", AMQPValue::LongLongInt(MAX_BYTES)),
        ]);
        let letters = arguments(&[
            ("x-delivery-limit", AMQPValue::LongLongInt(DEAD_DELIVERY_LIMIT)),
            ("x-max-length", AMQPValue::LongLongInt(MAX_DEAD_LETTERS)),
            ("x-max-length-bytes", AMQPValue::LongLongInt(MAX_DEAD_BYTES)),
        ]);
        // The dead letters come first, so that no message can die before their queue exists.
        for (name, arguments) in [(dead, letters), (self.queue(queue), main)] {
            let declared =
                channel.queue_declare(name.clone(), QueueDeclareOptions::durable(), arguments).await;
            declared.map_err(|error| refused(name.as_str(), error))?;
        }
        Ok(())
    }

    /// Returns the counts of a queue. Returns `None` when the queue does not exist; the channel is closed
    /// then.
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

/// Returns arguments with those that all queues have: copies on most nodes of a cluster, and refusal instead
/// of loss when full.
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
            "the broker has a queue {name} with other arguments ({}); let it run empty and delete it \
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
    fn longest_name_fits() {
        let names = Names::new("p".repeat(MAX_PREFIX_BYTES));
        let longest = QueueName::new("q".repeat(MAX_NAME_BYTES)).unwrap();
        assert_eq!(names.dead(&longest).as_str().len(), 255);
    }

    #[test]
    fn queue_name_with_the_suffix_of_dead_letters_is_rejected() {
        assert!(Names::check(&QueueName::new("q.dead").unwrap()).is_err());
        assert!(Names::check(&QueueName::new("dead").unwrap()).is_ok());
    }
}
