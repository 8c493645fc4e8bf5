//! Tests `dead`: dead letters are listed, shown, replayed and dropped. The tests create them as a worker
//! does.

use lockgate::core::broker::{Disposition, Rejection};
use lockgate::core::dead::DeadReason;
use lockgate::core::{Envelope, JobId};
use lockgate::embedded::{Options, open};
use lockgate::{Key, Kind, QueueName, Tenant};
use serde_json::{Value, json};

use crate::greeter::Greeter;

/// Publishes messages to the queue of the greeter, and rejects each with its reason.
async fn create(greeter: &Greeter, letters: &[(DeadReason, &str)]) {
    create_with_detail(greeter, letters, "no job kind wave is registered with this worker").await;
}

async fn create_with_detail(greeter: &Greeter, letters: &[(DeadReason, &str)], detail: &str) {
    greeter.ok(&["migrate", "up"]);
    let options = Options { path: greeter.database(), timing: Default::default() };
    let broker = open(options).await.unwrap().engine.broker;
    let queue = QueueName::new("greetings").unwrap();
    let mut deliveries = broker.subscribe(&queue, 1).await.unwrap();
    for (reason, payload) in letters {
        let envelope = Envelope {
            job: JobId(uuid::Uuid::now_v7()),
            kind: Kind::new("wave").unwrap(),
            key: Key::new("anna").unwrap(),
            tenant: Tenant::new("anna").unwrap(),
            run: None,
            queue: queue.clone(),
            dispatch: 1,
            payload: (*payload).to_owned(),
        };
        broker.publish(&[envelope]).await.unwrap();
        let tag = deliveries.next().await.unwrap().remove(0).tag;
        let why = Rejection::new(*reason, detail);
        broker.acknowledge(vec![Disposition::Reject { tag, why }]).await.unwrap();
    }
}

fn letters(greeter: &Greeter) -> Vec<Value> {
    greeter.json(&["dead", "list"])["letters"].as_array().unwrap().clone()
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_reason_and_shown_with_their_body() {
    let greeter = Greeter::new();
    assert!(greeter.ok(&["dead", "list"]).contains("jobs list --state failed"));
    create(&greeter, &[(DeadReason::UnknownKind, r#"{"name":"anna"}"#), (DeadReason::BadPayload, "1")]).await;
    let listed = letters(&greeter);
    assert_eq!((&listed[0]["reason"], &listed[1]["reason"]), (&json!("unknown-kind"), &json!("bad-payload")));
    assert_eq!((&listed[0]["queue"], &listed[0]["bytes"]), (&json!("greetings"), &json!(15)));
    assert!(listed[0].get("body").is_none(), "{listed:?}");
    let table = greeter.ok(&["dead", "list", "--limit", "1"]);
    assert!(
        table.contains("unknown-kind") && table.contains("15 B") && !table.contains("bad-payload"),
        "{table}"
    );
    assert!(table.lines().count() == 2 && table.contains("is registered with this worker"), "{table}");
    let id = listed[0]["id"].as_str().unwrap();
    let shown = greeter.ok(&["dead", "show", id]);
    assert!(shown.contains("wave") && shown.ends_with("{\"name\":\"anna\"}\n"), "{shown}");
    assert_eq!(greeter.json(&["dead", "show", id])["letter"]["body"], r#"{"name":"anna"}"#);
}

#[tokio::test]
async fn control_characters_of_a_message_are_escaped() {
    let greeter = Greeter::new();
    let escapes = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    create_with_detail(
        &greeter,
        &[(DeadReason::UnknownKind, escapes)],
        &format!("no job kind {escapes} is known"),
    )
    .await;
    let id = letters(&greeter)[0]["id"].as_str().unwrap().to_owned();
    for text in [greeter.ok(&["dead", "list"]), greeter.ok(&["dead", "show", &id])] {
        let bad = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(text.chars().filter(bad).count(), 0, "{text:?}");
        assert!(text.contains("\\u{1b}[2J\\u{9b}31m\\u{202e}"), "{text}");
    }
}

#[tokio::test]
async fn replayed_dead_letters_are_published_again_and_the_rest_stays() {
    let greeter = Greeter::new();
    let (unknown, bad) = (DeadReason::UnknownKind, DeadReason::BadPayload);
    create(&greeter, &[(unknown, "1"), (bad, "2"), (bad, "3"), (unknown, "4")]).await;
    assert_eq!(greeter.json(&["dead", "replay", "--all", "--reason", "too-deep"])["replayed"], 0);
    assert_eq!(letters(&greeter).len(), 4);
    assert_eq!(greeter.json(&["dead", "replay", "--all", "--reason", "unknown-kind"])["replayed"], 2);
    let left = letters(&greeter);
    assert!(left.len() == 2 && left.iter().all(|letter| letter["reason"] == "bad-payload"), "{left:?}");
    let id = left[0]["id"].as_str().unwrap();
    assert!(greeter.ok(&["dead", "replay", id]).contains("put 1 dead letters back"));
    let still: Vec<Value> = letters(&greeter).iter().map(|letter| letter["id"].clone()).collect();
    assert_eq!(still, [left[1]["id"].clone()]);
}

#[tokio::test]
async fn dropping_deletes_dead_letters_and_all_of_them_only_with_a_confirmation() {
    let greeter = Greeter::new();
    create(&greeter, &[(DeadReason::NoKind, "1"), (DeadReason::NoKind, "2"), (DeadReason::NoKind, "3")])
        .await;
    let ids: Vec<String> = letters(&greeter).iter().map(|l| l["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(greeter.json(&["dead", "drop", &ids[0]])["dropped"], 1);
    let unknown = greeter.fails(&["dead", "drop", &ids[1], "4711"], 66);
    assert!(unknown.contains("4711") && unknown.contains("`dead list`"), "{unknown}");
    assert_eq!(letters(&greeter).len(), 2, "nothing is dropped if one id does not exist");
    let unconfirmed = greeter.fails(&["dead", "drop", "--all"], 2);
    assert!(unconfirmed.contains("--yes") && unconfirmed.contains("dead list"), "{unconfirmed}");
    assert_eq!(greeter.json(&["dead", "drop", "--all", "--yes"])["dropped"], 2);
    assert_eq!(letters(&greeter), Vec::<Value>::new());
}

#[test]
fn unknown_dead_letters_and_invalid_flags_are_refused_with_the_remedy() {
    let greeter = Greeter::new();
    for (arguments, code, part) in [
        (&["dead", "show", "17"][..], 66, "`dead list`"),
        (&["dead", "show", "17", "--queue", "other"], 66, "17"),
        (&["dead", "replay"], 2, "--all"),
        (&["dead", "replay", "17", "--all"], 2, "--all"),
        (&["dead", "replay", "17", "--reason", "no-kind"], 2, "--all"),
        (&["dead", "replay", "--all", "--reason", "bored"], 2, "unknown-kind"),
        (&["dead", "drop", "17", "--yes"], 2, "--all"),
    ] {
        let line = greeter.fails(arguments, code);
        assert!(line.contains(part), "{arguments:?}: {line}");
    }
    let help = greeter.ok(&["dead", "--help"]);
    assert!(help.starts_with("List, show, replay") && help.contains("jobs list --state failed"), "{help}");
}
