//! Tests of dead letters.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn why() -> Rejection {
    Rejection::new(DeadReason::NoKind, "it has no kind")
}

fn dead(raw: &RawMessage) -> RawMessage {
    write(raw, &why(), Uuid::from_u128(5), Timestamp(1_234))
}

fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn sample() -> RawMessage {
    let properties = BasicProperties::default()
        .with_type("kind".into())
        .with_message_id("m-1".into())
        .with_content_type("application/json".into())
        .with_correlation_id("c".into())
        .with_app_id("app".into())
        .with_timestamp(7)
        .with_priority(3)
        .with_delivery_mode(PERSISTENT)
        .with_headers(table(&[("traceparent", text("00-1")), ("mine", AMQPValue::Boolean(true))]));
    RawMessage { properties, body: b"{}".to_vec() }
}

#[test]
fn letter_has_reason_origin_time_and_body() {
    let letter = read(&dead(&sample()), &queue(), true);
    assert_eq!((letter.reason, letter.detail.as_str()), (DeadReason::NoKind, "it has no kind"));
    assert_eq!((letter.kind.as_deref(), letter.message_id.as_deref()), (Some("kind"), Some("m-1")));
    assert_eq!((letter.died_at, letter.bytes), (Some(Timestamp(1_234)), 2));
    assert_eq!((letter.id, letter.body.as_deref()), (Uuid::from_u128(5).to_string(), Some("{}")));
}

#[test]
fn restored_letter_equals_the_original_message() {
    assert_eq!(restore(&dead(&sample())), sample());
}

#[test]
fn properties_that_harm_a_letter_are_dropped() {
    let headers = table(&[("CC", AMQPValue::FieldArray(vec![text("other")].into())), ("BCC", text("x"))]);
    let properties = BasicProperties::default()
        .with_expiration("1".into())
        .with_user_id("somebody".into())
        .with_headers(headers);
    let letter = dead(&RawMessage { properties, body: Vec::new() });
    assert_eq!((letter.properties.expiration(), letter.properties.user_id()), (&None, &None));
    let names: Vec<&str> =
        letter.properties.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
    assert_eq!(BTreeSet::from_iter(names), BTreeSet::from(DEAD_HEADERS));
}

#[test]
fn long_headers_are_dropped_but_those_of_the_contract_are_kept() {
    let long = AMQPValue::LongString(vec![b'x'; MAX_HEADER_BYTES].into());
    let headers = table(&[("a-long-one", long), ("lockgate-key", text("k")), ("short", text("s"))]);
    let raw = RawMessage { properties: BasicProperties::default().with_headers(headers), body: Vec::new() };
    let kept = kept_headers(&raw.properties);
    assert!(
        kept.contains_key("lockgate-key") && kept.contains_key("short") && !kept.contains_key("a-long-one")
    );
}

#[test]
fn long_detail_is_cut_between_two_characters() {
    let detail = format!("x{}", "ü".repeat(MAX_DETAIL_BYTES));
    assert_eq!(shortened(&detail).len(), MAX_DETAIL_BYTES - 1);
    assert_eq!(shortened("short"), "short");
}

#[test]
fn letter_of_the_broker_itself_has_a_reason_and_a_stable_id() {
    let death = |reason: &str| {
        let death = table(&[("reason", text(reason)), ("time", AMQPValue::Timestamp(9))]);
        let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());
        let headers = table(&[("x-death", deaths)]);
        RawMessage { properties: sample().properties.with_headers(headers), body: b"{}".to_vec() }
    };
    let letter = read(&death("delivery_limit"), &queue(), false);
    assert_eq!((letter.reason, letter.died_at), (DeadReason::DeliveryLimit, Some(Timestamp(9_000))));
    assert_eq!(letter.id, id(&death("delivery_limit")));
    let other = read(&death("expired"), &queue(), false);
    assert_eq!((other.reason, other.detail.as_str()), (DeadReason::Other, "the broker says: expired"));
    assert_eq!(read(&sample(), &queue(), false).reason, DeadReason::Other);
}

proptest! {
    #[test]
    fn no_letter_panics(
        reason in prop::collection::vec(any::<u8>(), 0..20),
        at in any::<i64>(),
        body in prop::collection::vec(any::<u8>(), 0..40),
        time in any::<u64>(),
    ) {
        let death = AMQPValue::FieldTable(table(&[("time", AMQPValue::Timestamp(time))]));
        let headers = table(&[
            (REASON, AMQPValue::LongString(reason.into())),
            (AT, AMQPValue::LongLongInt(at)),
            ("x-death", AMQPValue::FieldArray(vec![death].into())),
        ]);
        let raw = RawMessage { properties: BasicProperties::default().with_headers(headers), body };
        let letter = read(&raw, &queue(), true);
        prop_assert_eq!(letter.died_at, Some(Timestamp(at)));
        drop(read(&restore(&raw), &queue(), true));
    }
}
