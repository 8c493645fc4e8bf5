//! Step 1 of a job's way: its message is read, its kind is found, and a job that the ledger does not know gets its row.
//!
//! A message that nobody here can handle, or whose job the ledger refuses, becomes a dead letter with the reason.

use std::sync::Arc;

use lockgate_core::Envelope;
use lockgate_core::broker::{Delivery, DeliveryTag, Disposition, Origin, Rejection};
use lockgate_core::dead::DeadReason;
use lockgate_core::error::chain;

use crate::executor::{Executor, Taken};
use crate::job::registry::Entry;
use crate::telemetry;

impl Executor {
    /// Step 1. A message that nobody here can handle is a dead letter, with its reason.
    pub(crate) async fn read(&self, delivery: Delivery) -> Option<Taken<'_>> {
        let (envelope, kind) = match self.kind_of(&delivery) {
            Ok((envelope, kind)) => (Arc::new(envelope.clone()), kind),
            Err(why) => {
                self.reject(delivery.tag, why).await;
                return None;
            }
        };
        if delivery.origin == Origin::Client
            && let Err(error) = self.records.ingested(&envelope).await
        {
            let detail = format!("the ledger refuses its job: {}", chain(error.as_ref()));
            self.reject(delivery.tag, Rejection::new(DeadReason::Refused, detail)).await;
            return None;
        }
        let in_flight = self.shares.enter(&envelope.kind);
        Some(Taken { envelope, kind, delivery, in_flight, deferrals: 0 })
    }

    /// Makes a delivery a dead letter.
    pub(crate) async fn reject(&self, tag: DeliveryTag, why: Rejection) {
        tracing::error!(reason = %why.reason, detail = why.detail, "message rejected to the dead letters");
        self.tally.rejected();
        telemetry::rejected(why.reason);
        self.records.mark(Disposition::Reject { tag, why }).await;
    }

    fn kind_of<'a>(&self, delivery: &'a Delivery) -> Result<(&'a Envelope, &Entry), Rejection> {
        let envelope = delivery.message.as_ref().map_err(Clone::clone)?;
        let Some(kind) = self.registry.get(&envelope.kind) else {
            let detail = format!("no job kind {} is registered with this worker", envelope.kind);
            return Err(Rejection::new(DeadReason::UnknownKind, detail));
        };
        // What the dispatcher sends was made from a job of the kind; what anybody else sends is looked at before it
        // gets a row.
        if delivery.origin == Origin::Client {
            let bad = |error: serde_json::Error| Rejection::new(DeadReason::BadPayload, error.to_string());
            kind.reads(&envelope.payload).map_err(bad)?;
        }
        Ok((envelope, kind))
    }
}
