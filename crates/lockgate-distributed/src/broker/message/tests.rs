//! Tests of the message contract, also with arbitrary input.

use lockgate_core::name::MAX_NAME_BYTES;
use proptest::prelude::*;

use super::*;

fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

fn read_as(raw: &RawMessage, subscription: u128, number: u64) -> (Origin, Result<Envelope, Rejection>) {
    let queue = queue();
    read(raw, Arrival { queue: &queue, subscription: Uuid::from_u128(subscription), number })
}

fn envelope_of(raw: &RawMessage) -> Envelope {
    read_as(raw, 1, 1).1.unwrap()
}

fn refusal(raw: &RawMessage) -> (DeadReason, String) {
    let Rejection { reason, detail } = read_as(raw, 1, 1).1.unwrap_err();
    (reason, detail)
}

fn properties(id: Option<&str>, headers: &[(&str, AMQPValue)]) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    let properties = BasicProperties::default().with_type("kind".into()).with_headers(table);
    match id {
        Some(id) => properties.with_message_id(id.into()),
        None => properties,
    }
}

fn client(id: Option<&str>, headers: &[(&str, AMQPValue)]) -> RawMessage {
    RawMessage { properties: properties(id, headers), body: b"{\"n\":1}".to_vec() }
}

fn sample() -> Envelope {
    Envelope {
        job: JobId(Uuid::from_u128(7)),
        kind: Kind::new("kind").unwrap(),
        key: Key::new("ünï").unwrap(),
        tenant: Tenant::new("tenant").unwrap(),
        run: Some(RunId(Uuid::from_u128(8))),
        queue: queue(),
        dispatch: u32::MAX,
        payload: "{\"n\": 1}".to_owned(),
    }
}

#[test]
fn envelope_of_the_dispatcher_survives_a_round_trip() {
    for envelope in [sample(), Envelope { run: None, dispatch: 1, ..sample() }] {
        let raw = write(&envelope);
        assert_eq!(raw.properties.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(read_as(&raw, 1, 1), (Origin::Dispatcher, Ok(envelope)));
    }
}

#[test]
fn longest_names_fit() {
    let longest = "x".repeat(MAX_NAME_BYTES);
    let envelope = Envelope {
        kind: Kind::new(longest.clone()).unwrap(),
        key: Key::new(longest.clone()).unwrap(),
        tenant: Tenant::new(longest).unwrap(),
        ..sample()
    };
    assert_eq!(read_as(&write(&envelope), 1, 1).1, Ok(envelope));
}

#[test]
fn message_id_of_a_client_is_the_default_key_but_not_the_job_id() {
    let id = "3d594650-3436-4537-8ed5-1f6d8a3e0f55";
    let (origin, envelope) = read_as(&client(Some(id), &[]), 1, 1);
    let envelope = envelope.unwrap();
    assert_eq!((origin, envelope.dispatch), (Origin::Client, 1));
    assert_ne!(envelope.job.to_string(), id, "a client named a job of the ledger");
    assert_eq!((envelope.key.as_str(), envelope.tenant.as_str()), (id, id));
    assert_eq!((envelope.run, envelope.payload.as_str()), (None, "{\"n\":1}"));
}

#[test]
fn same_message_id_gives_the_same_job_on_each_delivery() {
    let job = |raw: &RawMessage, number: u64| read_as(raw, number.into(), number).1.unwrap().job;
    let order = client(Some("order-42"), &[]);
    assert_eq!(job(&order, 1), job(&order, 2));
    assert_ne!(job(&order, 1), job(&client(Some("order-43"), &[]), 1));
    // Documented, so that a client can compute the id. It must not change.
    assert_eq!(job(&order, 1).to_string(), "a4ad4966-2f04-5ec2-a89a-6d167db698a6");
}

#[test]
fn same_message_id_in_another_queue_or_of_another_kind_is_another_job() {
    let id = Uuid::from_u128(7).to_string();
    let job = |name: &str, kind: &str| {
        let (queue, properties) = (QueueName::new(name).unwrap(), properties(Some(&id), &[]));
        let raw = RawMessage { properties: properties.with_type(kind.into()), body: b"{}".to_vec() };
        let arrival = Arrival { queue: &queue, subscription: Uuid::nil(), number: 1 };
        read(&raw, arrival).1.unwrap().job
    };
    assert_eq!(job("q", "kind"), job("q", "kind"));
    assert_ne!(job("q", "kind"), job("other", "kind"));
    assert_ne!(job("q", "kind"), job("q", "other"));
}

#[test]
fn each_delivery_without_an_id_is_a_job_of_its_own() {
    let job = |subscription, number| read_as(&client(None, &[]), subscription, number).1.unwrap().job;
    assert_eq!(job(1, 1), job(1, 1));
    assert_ne!(job(1, 1), job(1, 2));
    assert_ne!(job(1, 1), job(2, 1));
}

#[test]
fn key_and_tenant_come_from_the_headers_or_the_message_id() {
    let both = envelope_of(&client(Some("a"), &[(KEY, text("k")), (TENANT, text("t"))]));
    assert_eq!((both.key.as_str(), both.tenant.as_str()), ("k", "t"));
    let key = envelope_of(&client(Some("a"), &[(KEY, text("k"))]));
    assert_eq!((key.key.as_str(), key.tenant.as_str()), ("k", "k"));
    let neither = envelope_of(&client(Some("order 17"), &[]));
    assert_eq!((neither.key.as_str(), neither.tenant.as_str()), ("order 17", "order 17"));
    let unfit = envelope_of(&client(Some("order\n17"), &[]));
    assert_eq!(unfit.key.as_str(), unfit.job.to_string());
}

#[test]
fn message_without_a_kind_is_rejected() {
    let raw = RawMessage { body: b"{}".to_vec(), ..RawMessage::default() };
    assert_eq!(refusal(&raw).0, DeadReason::NoKind);
    let raw = RawMessage { properties: BasicProperties::default().with_type("".into()), ..raw };
    assert_eq!(refusal(&raw).0, DeadReason::NoKind);
    let raw = RawMessage { properties: BasicProperties::default().with_type("a\nb".into()), ..raw };
    assert_eq!(refusal(&raw).0, DeadReason::BadHeader);
}

#[test]
fn rejection_names_the_bad_header() {
    let numbers = [0, -1, i64::from(u32::MAX) + 1].map(AMQPValue::LongLongInt);
    let dispatches = numbers.into_iter().chain([text("1"), AMQPValue::Void]).map(|value| (DISPATCH, value));
    let texts = [KEY, TENANT, RUN].into_iter().flat_map(|name| {
        [AMQPValue::LongInt(1), text(""), text("a\u{1}"), AMQPValue::LongString(vec![0xff].into())]
            .map(|value| (name, value))
    });
    for (name, value) in dispatches.chain(texts) {
        let raw = client(Some(&Uuid::nil().to_string()), &[(name, value.clone())]);
        let (reason, detail) = refusal(&raw);
        assert_eq!(reason, DeadReason::BadHeader, "{name} {value:?}");
        assert!(detail.starts_with(&format!("`{name}`: ")), "{detail}");
    }
}

#[test]
fn forged_dispatch_needs_the_id_of_a_job() {
    let (reason, detail) = refusal(&client(Some("order"), &[(DISPATCH, AMQPValue::LongInt(1))]));
    assert_eq!(reason, DeadReason::BadHeader);
    assert_eq!(detail, "`message_id`: with lockgate-dispatch it is the job's UUID, not \"order\"");
}

#[test]
fn body_is_checked_first() {
    let raw = RawMessage { body: b"\xff".to_vec(), ..RawMessage::default() };
    assert_eq!(refusal(&raw).0, DeadReason::NotUtf8);
}

fn value() -> impl Strategy<Value = AMQPValue> {
    prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        (-2i32..4).prop_map(AMQPValue::LongInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<f64>().prop_map(AMQPValue::Double),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        prop::collection::vec(any::<u8>(), 0..250).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        "\\PC{0,30}".prop_map(|text| AMQPValue::ShortString(text.into())),
        Just(text("3d594650-3436-4537-8ed5-1f6d8a3e0f55")),
        Just(AMQPValue::Void),
    ]
}

fn any_message() -> impl Strategy<Value = RawMessage> {
    let headers = prop::collection::vec((prop::sample::select(HEADERS.to_vec()), value()), 0..6);
    let id = prop::option::of(prop_oneof!["\\PC{0,40}", Just(Uuid::max().to_string())]);
    let kind = prop::option::of("\\PC{0,40}");
    let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), Just(b"{}".to_vec())];
    (headers, id, kind, body).prop_map(|(headers, id, kind, body)| {
        let mut properties = properties(id.as_deref(), &headers);
        if let Some(kind) = kind {
            properties = properties.with_type(kind.as_str().into());
        }
        RawMessage { properties, body }
    })
}

proptest! {
    #[test]
    fn any_message_is_an_envelope_or_has_a_reason(raw in any_message(), number in any::<u64>()) {
        match read_as(&raw, 1, number) {
            (_, Ok(envelope)) => {
                prop_assert!(envelope.dispatch >= 1);
                prop_assert_eq!(envelope.payload.as_bytes(), raw.body.as_slice());
                // A message that was read once can be written and read again.
                prop_assert_eq!(read_as(&write(&envelope), 2, 2), (Origin::Dispatcher, Ok(envelope)));
            }
            (_, Err(rejection)) => prop_assert!(!rejection.detail.is_empty()),
        }
    }
}
