//! A dead letter as a message: its headers, what it keeps of the original, and how the original is restored.
//!
//! Properties that would make the broker refuse, lose or redirect the letter are dropped.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lockgate_core::broker::Rejection;
use lockgate_core::dead::{DeadLetter, DeadReason};
use lockgate_core::{QueueName, Timestamp};
use uuid::Uuid;

use super::message::{HEADERS, Headers, NAMESPACE, PERSISTENT, RawMessage, message_id, text};

/// Why the message is a dead letter: a word of [`DeadReason`].
pub(super) const REASON: &str = "lockgate-dead-reason";
/// What exactly was wrong, for a person.
pub(super) const DETAIL: &str = "lockgate-dead-detail";
/// Id of the dead letter: a UUID.
pub(super) const ID: &str = "lockgate-dead-id";
/// When the message became a dead letter: milliseconds since 1970.
pub(super) const AT: &str = "lockgate-dead-at";
/// All headers of a dead letter.
pub(super) const DEAD_HEADERS: [&str; 4] = [REASON, DETAIL, ID, AT];

/// Longest detail, in bytes.
pub(super) const MAX_DETAIL_BYTES: usize = 1_024;

/// Most bytes of headers that are kept. All headers of a message travel in one frame, which has at most 128
/// KiB by default.
pub(super) const MAX_HEADER_BYTES: usize = 32 * 1_024;

/// Headers that are dropped: those that the broker writes on messages which it dead-letters or redelivers,
/// and those that copy a message to other queues, since it was copied when it was sent.
const DROPPED_HEADERS: [&str; 10] = [
    "CC",
    "BCC",
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
    "x-delivery-count",
];

/// Makes a dead letter of a message.
pub(super) fn write(raw: &RawMessage, why: &Rejection, id: Uuid, at: Timestamp) -> RawMessage {
    let mut headers = kept_headers(&raw.properties);
    headers.insert(REASON.into(), text(why.reason.as_str()));
    headers.insert(DETAIL.into(), text(shortened(&why.detail)));
    headers.insert(ID.into(), text(&id.to_string()));
    headers.insert(AT.into(), AMQPValue::LongLongInt(at.0));
    RawMessage { properties: kept(&raw.properties, headers), body: raw.body.clone() }
}

/// Restores the original message.
pub(super) fn restore(raw: &RawMessage) -> RawMessage {
    RawMessage { properties: kept(&raw.properties, kept_headers(&raw.properties)), body: raw.body.clone() }
}

/// Decodes a dead letter for display.
pub(super) fn read(raw: &RawMessage, queue: &QueueName, with_body: bool) -> DeadLetter {
    let (reason, detail) = why(raw);
    DeadLetter {
        id: id(raw),
        queue: queue.clone(),
        reason,
        detail,
        kind: raw.properties.kind().as_ref().map(ToString::to_string),
        message_id: message_id(&raw.properties).map(str::to_owned),
        died_at: died_at(raw),
        bytes: u64::try_from(raw.body.len()).unwrap_or(u64::MAX),
        body: with_body.then(|| String::from_utf8_lossy(&raw.body).into_owned()),
    }
}

/// Returns the id of the letter. A letter that the broker itself dead-lettered has none, so it is derived
/// from what stays the same.
pub(super) fn id(raw: &RawMessage) -> String {
    if let Some(id) = own_header(raw, ID) {
        return id;
    }
    let mut content = message_id(&raw.properties).unwrap_or_default().as_bytes().to_vec();
    content.extend_from_slice(&died_at(raw).map_or(0, |at| at.0).to_be_bytes());
    content.extend_from_slice(&raw.body);
    Uuid::new_v5(&NAMESPACE, &content).to_string()
}

fn why(raw: &RawMessage) -> (DeadReason, String) {
    if let Some(reason) = own_header(raw, REASON) {
        return (DeadReason::of(&reason), own_header(raw, DETAIL).unwrap_or_default());
    }
    match last_death(raw).and_then(|death| text_of(death, "reason")).as_deref() {
        Some("delivery_limit") => {
            let detail = "it was delivered again and again but never acknowledged: its processes died, or lost the \
                          broker";
            (DeadReason::DeliveryLimit, detail.to_owned())
        }
        Some(other) => (DeadReason::Other, format!("the broker says: {other}")),
        None => (DeadReason::Other, "none of its headers tells why".to_owned()),
    }
}

fn died_at(raw: &RawMessage) -> Option<Timestamp> {
    let headers = Headers(raw.properties.headers().as_ref());
    if let Some(AMQPValue::LongLongInt(at)) = headers.get(AT) {
        return Some(Timestamp(*at));
    }
    match last_death(raw)?.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => i64::try_from(*seconds).ok()?.checked_mul(1_000).map(Timestamp),
        _ => None,
    }
}

fn own_header(raw: &RawMessage, name: &str) -> Option<String> {
    text_of(raw.properties.headers().as_ref()?, name)
}

/// Returns the latest entry of the broker's own header about dead-lettering.
fn last_death(raw: &RawMessage) -> Option<&FieldTable> {
    match Headers(raw.properties.headers().as_ref()).get("x-death")? {
        AMQPValue::FieldArray(deaths) => deaths.as_slice().first()?.as_field_table(),
        _ => None,
    }
}

fn text_of(table: &FieldTable, name: &str) -> Option<String> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn shortened(detail: &str) -> &str {
    let mut end = detail.len().min(MAX_DETAIL_BYTES);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    detail.get(..end).unwrap_or_default()
}

/// Returns the properties without those that harm a letter: a user id must be that of the connection, and an
/// expiration would delete the letter unread.
fn kept(properties: &BasicProperties, headers: FieldTable) -> BasicProperties {
    let mut kept = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    type With = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<ShortString>, With); 7] = [
        (properties.content_type(), BasicProperties::with_content_type),
        (properties.content_encoding(), BasicProperties::with_content_encoding),
        (properties.correlation_id(), BasicProperties::with_correlation_id),
        (properties.reply_to(), BasicProperties::with_reply_to),
        (properties.message_id(), BasicProperties::with_message_id),
        (properties.kind(), BasicProperties::with_type),
        (properties.app_id(), BasicProperties::with_app_id),
    ];
    for (value, with) in texts {
        if let Some(value) = value {
            kept = with(kept, value.clone());
        }
    }
    if let Some(priority) = properties.priority() {
        kept = kept.with_priority(*priority);
    }
    if let Some(timestamp) = properties.timestamp() {
        kept = kept.with_timestamp(*timestamp);
    }
    kept
}

/// Returns the sender's headers. When they are too long, the headers of the contract come first, and others
/// only while they fit.
fn kept_headers(properties: &BasicProperties) -> FieldTable {
    let mut kept = FieldTable::default();
    let Some(headers) = properties.headers() else { return kept };
    let mut left = MAX_HEADER_BYTES;
    let (known, others): (Vec<_>, Vec<_>) =
        headers.into_iter().partition(|(name, _)| HEADERS.contains(&name.as_str()));
    for (name, value) in known.into_iter().chain(others) {
        let bytes = name.as_str().len().saturating_add(size(value));
        let name_is_kept =
            !DROPPED_HEADERS.contains(&name.as_str()) && !DEAD_HEADERS.contains(&name.as_str());
        if name_is_kept && bytes <= left {
            left -= bytes;
            kept.insert(name.clone(), value.clone());
        }
    }
    kept
}

/// Estimates the bytes of a value in a frame, never too low.
fn size(value: &AMQPValue) -> usize {
    let inner = match value {
        AMQPValue::ShortString(text) => text.as_str().len(),
        AMQPValue::LongString(text) => text.as_bytes().len(),
        AMQPValue::ByteArray(bytes) => bytes.len(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(size).sum(),
        AMQPValue::FieldTable(table) => {
            table.into_iter().map(|(name, value)| name.as_str().len().saturating_add(size(value))).sum()
        }
        _ => 8,
    };
    inner.saturating_add(8)
}

#[cfg(test)]
mod tests;
