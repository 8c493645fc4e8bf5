//! Step 1 of a job: reads the message and looks up its kind.

use lockgate_core::Envelope;
use lockgate_core::broker::{Delivery, Origin, Rejection};
use lockgate_core::dead::DeadReason;

use crate::job::registry::{RegisteredKind, Registry};

/// Returns the envelope of a delivery and its kind.
///
/// The payload of an external client is checked here, before its job gets a row. A message of the dispatcher
/// was built from a job of the kind, so its payload is decoded only when the job runs.
pub(super) fn envelope_and_kind<'d, 'r>(
    registry: &'r Registry,
    delivery: &'d Delivery,
) -> Result<(&'d Envelope, &'r RegisteredKind), Rejection> {
    let envelope = delivery.message.as_ref().map_err(Clone::clone)?;
    let Some(kind) = registry.get(&envelope.kind) else {
        let detail = format!("no job kind {} is registered with this worker", envelope.kind);
        return Err(Rejection::new(DeadReason::UnknownKind, detail));
    };
    if delivery.origin == Origin::Client {
        let bad = |error: serde_json::Error| Rejection::new(DeadReason::BadPayload, error.to_string());
        kind.check_payload(&envelope.payload).map_err(bad)?;
    }
    Ok((envelope, kind))
}
