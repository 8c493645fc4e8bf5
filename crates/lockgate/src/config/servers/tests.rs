//! Which addresses are fit, and what is said of those that are not. No test names a server that is there.

use std::collections::HashMap;
use std::path::PathBuf;

use secrecy::ExposeSecret;

use crate::config::{ConfigErrors, Loaded, Sources, load};

const POSTGRES: &str = "postgres://me:hush@localhost/jobs";
const AMQP: &str = "amqp://me:hush@127.0.0.1/v";
const REDIS: &str = "redis://:hush@[::1]:6379/0";

/// A distributed engine with three good addresses, changed by these keys; an empty value takes a key away.
fn given(changes: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let mut keys: HashMap<String, String> = [
        ("engine", "distributed"),
        ("distributed.postgres.url", POSTGRES),
        ("distributed.amqp.url", AMQP),
        ("distributed.redis.url", REDIS),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    keys.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    keys.retain(|_, value| !value.is_empty());
    let variable = |key: String| format!("LOCKGATE__{}", key.replace('.', "__").to_uppercase());
    let environment = keys.into_iter().map(|(key, value)| (variable(key), value)).collect();
    load(&Sources { environment: Some(environment), ..Sources::default() })
}

/// The address of the ledger when `url` is given for it.
fn ledger(url: &str) -> Result<String, String> {
    given(&[("distributed.postgres.url", url)])
        .map(|loaded| loaded.servers().unwrap().postgres.expose_secret().to_owned())
        .map_err(|errors| errors.to_string())
}

fn faults(changes: &[(&str, &str)]) -> Vec<String> {
    let faults = given(changes).unwrap_err().faults;
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|fault| !fault.contains("hush") && !fault.contains('\n')), "{said:?}");
    said
}

/// One fault, of this key, that says this.
#[track_caller]
fn check(changes: &[(&str, &str)], key: &str, says: &[&str]) {
    let found = faults(changes);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(key), "{found:?}");
    for part in says {
        assert!(found[0].contains(part), "{part:?} is not in {found:?}");
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn good_addresses_are_handed_on_as_they_are() {
    let loaded = given(&[]).unwrap();
    let servers = loaded.servers().unwrap();
    let [postgres, amqp, redis] =
        [&servers.postgres, &servers.amqp, &servers.redis].map(|s| s.expose_secret());
    assert_eq!((postgres, amqp, redis), (POSTGRES, AMQP, REDIS));
    assert_eq!(loaded.settings.distributed.namespace, "lockgate");
}

#[test]
fn the_embedded_engine_needs_no_servers_and_does_not_look_at_them() {
    let loaded = given(&[("engine", "embedded"), ("distributed.amqp.url", "nonsense")]).unwrap();
    assert!(loaded.servers().is_none());
}

#[test]
fn an_address_that_is_missing_is_named_with_all_three_ways_to_give_it() {
    check(
        &[("distributed.redis.url", "")],
        "distributed.redis.url",
        &["is needed", "distributed.redis.url_file", "LOCKGATE__DISTRIBUTED__REDIS__URL"],
    );
    assert_eq!(
        faults(&[
            ("distributed.redis.url", ""),
            ("distributed.amqp.url", ""),
            ("distributed.postgres.url", "")
        ])
        .len(),
        3
    );
}

#[test]
fn an_address_that_is_none_or_another_servers_is_refused_without_being_shown() {
    for (url, says) in [
        ("hush", "is no address"),
        ("mysql://me:hush@db/jobs", "must begin with postgres:// or postgresql://"),
        ("postgres:///jobs?password=hush", "names no host"),
        ("postgres://me:hush@db/jobs?sslmode=yes", "unknown sslmode; one of disable"),
    ] {
        check(
            &[("distributed.postgres.url", url)],
            "distributed.postgres.url (from the environment)",
            &[says],
        );
    }
    check(&[("distributed.amqp.url", REDIS)], "distributed.amqp.url", &["amqp:// or amqps://"]);
    check(&[("distributed.redis.url", AMQP)], "distributed.redis.url", &["redis:// or rediss://"]);
}

#[test]
fn to_another_host_the_ledgers_certificate_is_checked_unless_told_otherwise() {
    assert_eq!(
        ledger("postgres://me:hush@db/jobs").unwrap(),
        "postgres://me:hush@db/jobs?sslmode=verify-full"
    );
    for near in [POSTGRES, "postgres:///jobs?host=/run/postgresql", "postgres://%2Frun%2Fpg/jobs"] {
        assert_eq!(ledger(near).unwrap(), near);
    }
}

#[test]
fn a_password_never_goes_to_another_host_in_the_clear() {
    for weak in ["disable", "prefer", "require", "verify-ca", "verify-full&sslmode=disable"] {
        let url = format!("postgres://me:hush@db/jobs?sslmode={weak}");
        let says =
            ["to db without TLS", "sslmode=verify-full", "distributed.postgres.allow_plaintext = true"];
        check(&[("distributed.postgres.url", &url)], "distributed.postgres.url", &says);
    }
    // Elsewhere, whatever the address itself seems to name.
    let url = "postgres://localhost/jobs?host=db&password=hush&sslmode=prefer";
    check(&[("distributed.postgres.url", url)], "distributed.postgres.url", &["to db without TLS"]);
    check(&[("distributed.amqp.url", "amqp://me:hush@mq")], "distributed.amqp.url", &["write amqps://"]);
    for url in ["redis://:hush@store", "rediss://:hush@store/#insecure"] {
        check(&[("distributed.redis.url", url)], "distributed.redis.url", &["write rediss://"]);
    }
}

#[test]
fn what_is_safe_or_allowed_goes_through() {
    for (key, url) in [
        ("distributed.amqp.url", "amqps://me:hush@mq/v"),
        ("distributed.redis.url", "rediss://:hush@store/0"),
        ("distributed.redis.url", "redis://store/0"),
        ("distributed.postgres.url", "postgres://me:hush@db/jobs?sslmode=verify-full"),
    ] {
        assert!(given(&[(key, url)]).is_ok(), "{url}");
    }
    let allowed =
        [("distributed.redis.url", "redis://:hush@store"), ("distributed.redis.allow_plaintext", "true")];
    assert!(given(&allowed).is_ok());
}

#[test]
fn an_address_may_come_from_a_file() {
    let (_folder, path) = file(&format!("{POSTGRES}\n"));
    let path = path.to_str().unwrap();
    let loaded = given(&[("distributed.postgres.url", ""), ("distributed.postgres.url_file", path)]).unwrap();
    assert_eq!(loaded.servers().unwrap().postgres.expose_secret(), POSTGRES);
}

#[test]
fn a_file_that_gives_no_address_is_named_with_its_key() {
    let (folder, empty) = file(" \n");
    let missing = folder.path().join("missing");
    let (_other, bad) = file("hush");
    let key = "distributed.postgres.url_file";
    for (path, says) in [
        (&missing, "cannot read it"),
        (&folder.path().to_owned(), "cannot read it"),
        (&empty, "the file is empty"),
        (&bad, "is no address"),
    ] {
        check(&[("distributed.postgres.url", ""), (key, path.to_str().unwrap())], key, &[says]);
    }
    check(&[(key, empty.to_str().unwrap())], key, &["`url` is given as well"]);
}

#[test]
fn a_namespace_that_would_not_fit_into_a_key_is_refused() {
    for bad in ["a b", "{x}", "ä", &"x".repeat(65)] {
        check(&[("distributed.namespace", bad)], "distributed.namespace", &["letters, digits"]);
    }
}

#[test]
fn neither_the_settings_nor_their_debug_text_show_a_password() {
    let loaded = given(&[]).unwrap();
    let shown = format!("{} {loaded:?}", serde_json::to_string(&loaded.show()).unwrap());
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("postgres://me:***@localhost/jobs"), "{shown}");
}
