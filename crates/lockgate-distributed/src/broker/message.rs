//! The open message contract: converts an envelope to an AMQP message, and any AMQP message to an envelope or
//! to the reason why it is none. Pure functions. `docs/messages.md` describes the contract for people,
//! `docs/messages.asyncapi.yaml` for programs.
//!
//! No input makes these functions panic. Reading stops at the first error.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lockgate_core::broker::{Origin, Rejection};
use lockgate_core::dead::DeadReason;
use lockgate_core::name::NameError;
use lockgate_core::{Envelope, JobId, Key, Kind, QueueName, RunId, Tenant};
use uuid::Uuid;

use super::payload;

/// UUID of the run.
pub(super) const RUN: &str = "lockgate-run";
/// What the job is about: text.
pub(super) const KEY: &str = "lockgate-key";
/// The tenant that the job is charged to: text.
pub(super) const TENANT: &str = "lockgate-tenant";
/// Number of the job's dispatch, from 1. Only the dispatcher sets it.
pub(super) const DISPATCH: &str = "lockgate-dispatch";
/// Reserved: carried, not read.
pub(super) const ATTEMPT: &str = "lockgate-attempt";
/// W3C trace context: carried, not read.
pub(super) const TRACEPARENT: &str = "traceparent";
/// All headers of the contract.
pub(super) const HEADERS: [&str; 6] = [RUN, KEY, TENANT, DISPATCH, ATTEMPT, TRACEPARENT];

/// Delivery mode: the server writes the message to disk before it confirms it.
pub(super) const PERSISTENT: u8 = 2;

/// Namespace of the ids of clients' messages. It must not change, because a message that is delivered again
/// must get the same id.
pub(super) const NAMESPACE: Uuid = Uuid::from_u128(0x8974115c64e04e3f902e3e75f7f289ef);

/// A message as the broker stores it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RawMessage {
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// How a message arrived. Distinguishes messages with equal content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) queue: &'a QueueName,
    /// Unique for each subscription, in any process.
    pub(super) subscription: Uuid,
    pub(super) number: u64,
}

/// Encodes an envelope. [`read`] returns the same envelope.
pub(super) fn write(envelope: &Envelope) -> RawMessage {
    let mut headers = FieldTable::default();
    headers.insert(KEY.into(), text(envelope.key.as_str()));
    headers.insert(TENANT.into(), text(envelope.tenant.as_str()));
    headers.insert(DISPATCH.into(), AMQPValue::LongLongInt(envelope.dispatch.into()));
    if let Some(run) = envelope.run {
        headers.insert(RUN.into(), text(&run.to_string()));
    }
    // Both fit a short string: a kind has at most 200 bytes, an id has 36.
    let properties = BasicProperties::default()
        .with_type(envelope.kind.as_str().into())
        .with_message_id(envelope.job.to_string().into())
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers);
    RawMessage { properties, body: envelope.payload.clone().into_bytes() }
}

/// Decodes a message. Returns who sent it, and its envelope or the first error.
pub(super) fn read(raw: &RawMessage, arrival: Arrival<'_>) -> (Origin, Result<Envelope, Rejection>) {
    let headers = Headers(raw.properties.headers().as_ref());
    let origin = if headers.get(DISPATCH).is_some() { Origin::Dispatcher } else { Origin::Client };
    (origin, envelope(raw, headers, origin, arrival))
}

fn envelope(
    raw: &RawMessage,
    headers: Headers<'_>,
    origin: Origin,
    arrival: Arrival<'_>,
) -> Result<Envelope, Rejection> {
    let payload = payload::check(&raw.body)?;
    let kind = kind(&raw.properties)?;
    let run = headers.uuid(RUN)?.map(RunId);
    let (job, dispatch) = match origin {
        Origin::Dispatcher => (dispatched_job(&raw.properties)?, headers.dispatch()?),
        Origin::Client => (client_job(raw, &kind, arrival), 1),
    };
    let key = match headers.text(KEY)? {
        Some(text) => Key::new(text).map_err(|error| bad(KEY, error))?,
        None => default_key(&raw.properties, origin, job).map_err(|error| bad(KEY, error))?,
    };
    let tenant = headers.text(TENANT)?.unwrap_or_else(|| key.as_str().to_owned());
    let tenant = Tenant::new(tenant).map_err(|error| bad(TENANT, error))?;
    let (queue, payload) = (arrival.queue.clone(), payload.to_owned());
    Ok(Envelope { job, kind, key, tenant, run, queue, dispatch, payload })
}

fn kind(properties: &BasicProperties) -> Result<Kind, Rejection> {
    let named = properties.kind().as_ref().map(ShortString::as_str).filter(|text| !text.is_empty());
    let Some(named) = named else {
        let detail = "it has no property `type`, which names the kind of its job";
        return Err(Rejection::new(DeadReason::NoKind, detail));
    };
    Kind::new(named).map_err(|error| bad("type", error))
}

/// Returns the job of a dispatcher's message, whose message id is the id of the job.
fn dispatched_job(properties: &BasicProperties) -> Result<JobId, Rejection> {
    let id = message_id(properties).unwrap_or_default();
    let job = Uuid::parse_str(id);
    job.map(JobId).map_err(|_| bad("message_id", format!("with {DISPATCH} it is the job's UUID, not {id:?}")))
}

/// Returns the client's message id, by which its sender finds the job again. Returns the id of the job when
/// there is no message id, or it is not a valid key.
fn default_key(properties: &BasicProperties, origin: Origin, job: JobId) -> Result<Key, NameError> {
    let id = message_id(properties).filter(|_| origin == Origin::Client);
    id.and_then(|id| Key::new(id).ok()).map_or_else(|| Key::new(job.to_string()), Ok)
}

/// Derives the id of a client's job. The same message id in the same queue and of the same kind gives the
/// same job, and never a job of a run, whatever the message id is. A message without an id is identified by
/// its arrival, so two messages with equal content are two jobs; a redelivery is another job then.
fn client_job(raw: &RawMessage, kind: &Kind, arrival: Arrival<'_>) -> JobId {
    let queue = Uuid::new_v5(&NAMESPACE, arrival.queue.as_str().as_bytes());
    let kind = Uuid::new_v5(&queue, kind.as_str().as_bytes());
    JobId(match message_id(&raw.properties) {
        Some(id) => Uuid::new_v5(&kind, id.as_bytes()),
        None => {
            let mut content = Vec::with_capacity(raw.body.len().saturating_add(24));
            content.extend_from_slice(arrival.subscription.as_bytes());
            content.extend_from_slice(&arrival.number.to_be_bytes());
            content.extend_from_slice(&raw.body);
            Uuid::new_v5(&kind, &content)
        }
    })
}

pub(super) fn message_id(properties: &BasicProperties) -> Option<&str> {
    properties.message_id().as_ref().map(ShortString::as_str).filter(|text| !text.is_empty())
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

fn bad(header: &str, why: impl std::fmt::Display) -> Rejection {
    Rejection::new(DeadReason::BadHeader, format!("`{header}`: {why}"))
}

/// The headers of a message, with conversions to the types of the contract.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headers<'a>(pub(super) Option<&'a FieldTable>);

impl<'a> Headers<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a AMQPValue> {
        self.0?.inner().get(name)
    }

    fn text(self, name: &str) -> Result<Option<String>, Rejection> {
        match self.get(name) {
            None => Ok(None),
            Some(AMQPValue::ShortString(text)) => Ok(Some(text.to_string())),
            Some(AMQPValue::LongString(text)) => match std::str::from_utf8(text.as_bytes()) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(error) => Err(bad(name, error)),
            },
            Some(other) => Err(bad(name, format!("it must be text, not of the type {}", other.get_type()))),
        }
    }

    fn uuid(self, name: &str) -> Result<Option<Uuid>, Rejection> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Uuid::parse_str(&text).map(Some).map_err(|_| bad(name, format!("it must be a UUID, not {text:?}")))
    }

    fn dispatch(self) -> Result<u32, Rejection> {
        let number = self.get(DISPATCH).and_then(integer).and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| *number > 0)
            .ok_or_else(|| bad(DISPATCH, format!("it must be an integer from 1 to {}", u32::MAX)))
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortShortUInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortUInt(number) => Some(i64::from(*number)),
        AMQPValue::LongInt(number) => Some(i64::from(*number)),
        AMQPValue::LongUInt(number) => Some(i64::from(*number)),
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
