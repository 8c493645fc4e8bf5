//! Tests that the documents of the message contract agree with the code: names, reasons, limits.

use std::path::Path;

use lockgate_core::dead::{DeadReason, MAX_DEPTH};
use lockgate_core::envelope::MAX_PAYLOAD_BYTES;
use lockgate_core::name::MAX_NAME_BYTES;

use super::letter::{DEAD_HEADERS, MAX_DETAIL_BYTES, MAX_HEADER_BYTES};
use super::message::{HEADERS, NAMESPACE};
use super::options::BrokerOptions;
use super::topology::{
    DEAD_SUFFIX, DELIVERY_LIMIT, MAX_BYTES, MAX_DEAD_BYTES, MAX_DEAD_LETTERS, MAX_MESSAGES,
};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Returns the keys of the YAML mapping right below this line. The mapping is indented by two spaces.
fn keys<'a>(yaml: &'a str, below: &str) -> Vec<&'a str> {
    let indent = below.len() - below.trim_start().len() + 2;
    let after = yaml.lines().skip_while(|line| *line != below).skip(1);
    let inside = after.take_while(|line| line.starts_with(&" ".repeat(indent)));
    let keys = inside.filter(|line| !line[indent..].starts_with([' ', '-']));
    keys.filter_map(|line| line.trim().split_once(':')).map(|(key, _)| key).collect()
}

fn properties_of<'a>(yaml: &'a str, schema: &str) -> Vec<&'a str> {
    let (_, schema) = yaml.split_once(&format!("\n    {schema}:\n")).unwrap();
    keys(schema, "      properties:")
}

/// Returns the words in the first column of the table of reasons.
fn reasons_of(text: &str) -> Vec<&str> {
    let table =
        text.lines().skip_while(|line| !line.starts_with("| reason |")).take_while(|line| !line.is_empty());
    let cells = table.filter_map(|line| line.strip_prefix("| `"));
    cells.filter_map(|line| line.split_once("` |")).map(|(word, _)| word).collect()
}

#[test]
fn asyncapi_document_has_the_headers_and_reasons_of_the_code() {
    let yaml = document("messages.asyncapi.yaml");
    assert_eq!(properties_of(&yaml, "headers"), HEADERS);
    assert_eq!(properties_of(&yaml, "deadHeaders"), DEAD_HEADERS);
    let reasons: Vec<&str> = DeadReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert!(yaml.contains(&format!("enum: [{}]\n", reasons.join(", "))), "reasons");
    assert!(yaml.contains(&format!("required: [{}]\n", DEAD_HEADERS.join(", "))), "required");
}

#[test]
fn asyncapi_document_has_the_names_and_limits_of_the_code() {
    let yaml = document("messages.asyncapi.yaml");
    let prefix = BrokerOptions::new("", "").prefix;
    for expected in [
        format!("address: '{prefix}{{queue}}'\n"),
        format!("address: '{prefix}{{queue}}{DEAD_SUFFIX}'\n"),
        format!("at most {MAX_PAYLOAD_BYTES} bytes and {MAX_DEPTH} levels"),
        format!("maxLength: {MAX_DETAIL_BYTES}\n"),
        format!("maxLength: {MAX_NAME_BYTES}\n"),
        format!("maximum: {}\n", u32::MAX),
    ] {
        assert!(yaml.contains(&expected), "{expected}");
    }
}

#[test]
fn guide_has_every_reason_header_and_limit() {
    let guide = document("messages.md");
    let reasons: Vec<&str> = DeadReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(reasons_of(&guide), reasons);
    for header in HEADERS.into_iter().chain(DEAD_HEADERS) {
        assert!(guide.contains(&format!("`{header}`")), "{header}");
    }
    for expected in [
        format!("| body | {MAX_PAYLOAD_BYTES} bytes |"),
        format!("| {MAX_DEPTH} levels |"),
        format!("| messages in a queue | {MAX_MESSAGES}, and {MAX_BYTES} bytes |"),
        format!("| dead letters of a queue | {MAX_DEAD_LETTERS}, and {MAX_DEAD_BYTES} bytes |"),
        format!("| deliveries without an end | {DELIVERY_LIMIT} |"),
        format!("| {MAX_HEADER_BYTES} bytes |"),
        format!("1 to {MAX_NAME_BYTES} bytes"),
        format!("`{NAMESPACE}`"),
    ] {
        assert!(guide.contains(&expected), "{expected}");
    }
}
