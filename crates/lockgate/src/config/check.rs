//! From a tree of values to a section's type, with every fault that it finds.
//!
//! A faulty key is taken out and the rest read again, so that one reading names them all.

use lockgate_core::error::chain;
use schemars::Schema;
use serde_json::Value;
use serde_path_to_error::{Segment, Track};

use super::merge::Tree;
use super::section::{Typed, schema_of};
use super::{Fault, Section, mask_addresses};

/// More faults than anybody reads at once.
const MOST_FAULTS: usize = 50;

/// What others call something that has a word here already. One word for one thing: a second key would be a
/// second number, and nobody would know which holds.
const OTHER_WORDS: [(&str, &str); 1] =
    [("in_flight", "what is in flight on a backend at once is its pool's slots: set slots instead")];

/// Reads a section; `siblings` are the sections at its level. Returns `None` when no valid value remains
/// after the faulty keys are removed.
pub(super) fn check<T: Typed>(tree: &Tree, siblings: &[Section], faults: &mut Vec<Fault>) -> Option<T> {
    let schema = schema_of::<T>();
    let mut value = tree.value.clone();
    type_texts(&mut value, "", tree, schema.as_value());
    let before = faults.len();
    while faults.len() < before + MOST_FAULTS {
        let mut unknown = Vec::new();
        match read::<T>(value.clone(), &mut unknown) {
            Ok(read) => {
                faults.extend(unknown.iter().map(|key| unknown_key(tree, &schema, siblings, key)));
                validate(&read, tree, &schema, faults);
                return Some(read);
            }
            Err((key, problem)) => {
                faults.push(fault::<T>(tree, &schema, &key.join("."), &problem));
                if !remove(&mut value, &key) {
                    return None;
                }
            }
        }
    }
    None
}

/// Numbers and flags that came as texts become what the schema wants. What is none stays a text, for serde to
/// refuse.
fn type_texts(value: &mut Value, key: &str, tree: &Tree, schema: &Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                type_texts(value, &below, tree, property(schema, name).unwrap_or(&Value::Null));
            }
        }
        Value::String(text) if tree.origin(key).is_some_and(|origin| origin.texts_only) => {
            let typed = if wants(schema, "integer") {
                text.parse::<i64>().ok().map(Value::from)
            } else if wants(schema, "number") {
                text.parse::<f64>().ok().map(Value::from)
            } else if wants(schema, "boolean") {
                text.parse::<bool>().ok().map(Value::from)
            } else if wants(schema, "array") {
                serde_json::from_str(text).ok().filter(Value::is_array)
            } else {
                None
            };
            if let Some(typed) = typed {
                *value = typed;
            }
        }
        _ => {}
    }
}

fn read<T: Typed>(value: Value, unknown: &mut Vec<String>) -> Result<T, (Vec<String>, String)> {
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string().replace(".?", ""));
    serde_ignored::deserialize(tracked, note).map_err(|error| {
        let path = track.path();
        let key = path.iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        (key.collect(), chain(&error))
    })
}

fn validate<T: Typed>(value: &T, tree: &Tree, schema: &Schema, faults: &mut Vec<Fault>) {
    let Err(report) = value.validate() else { return };
    for (key, problem) in report.iter() {
        let key = key.to_string();
        let full = tree.full(&key);
        // A rule over a whole table says nothing new while one of its keys is wrong.
        if !faults.iter().any(|f| f.key == full || f.key.starts_with(&format!("{full}."))) {
            faults.push(fault::<T>(tree, schema, &key, problem.message()));
        }
    }
}

fn fault<T: Typed>(tree: &Tree, schema: &Schema, key: &str, problem: &str) -> Fault {
    let secret = at(schema.as_value(), key).is_some_and(|s| s.get("writeOnly") == Some(&Value::Bool(true)));
    let value = find(&tree.value, key).filter(|v| !v.is_object()).map(ToString::to_string);
    // An address may hold a password wherever it is given, and a problem may quote it.
    let address = value.as_deref().filter(|value| value.contains("://"));
    let problem = match address {
        _ if secret => String::from("must be a text that is allowed here"),
        Some(_) => format!("an address is not allowed here{}", example::<T>(key)),
        None => format!("{problem}{}", example::<T>(key)),
    };
    Fault {
        key: tree.full(key),
        value: value.filter(|_| !secret).map(|value| mask_addresses(&value).into_owned()),
        origin: tree.origin(key).map(|origin| origin.name.clone()),
        problem,
    }
}

/// The hint at the end of every fault: the default of the key.
fn example<T: Typed>(key: &str) -> String {
    let default = serde_json::to_value(T::default()).unwrap_or_default();
    let usual = find(&default, key).filter(|value| !value.is_object() && !value.is_null());
    usual.map(|value| format!("; by default {value}")).unwrap_or_default()
}

fn unknown_key(tree: &Tree, schema: &Schema, siblings: &[Section], key: &str) -> Fault {
    let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
    let properties = at(schema.as_value(), parent).and_then(|s| s.get("properties")?.as_object());
    let mut known: Vec<&str> = properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    if parent.is_empty() {
        known.extend(siblings.iter().map(|section| section.name));
    }
    let closest = closest(name, known.iter().copied());
    let other = OTHER_WORDS.iter().find(|(word, _)| *word == name);
    let hint = match closest {
        _ if other.is_some() => other.map(|(_, meant)| (*meant).to_owned()).unwrap_or_default(),
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("one of {}", known.join(", ")),
    };
    Fault {
        key: tree.full(key),
        value: None,
        origin: tree.origin(key).map(|origin| origin.name.clone()),
        problem: format!("there is no such key; {hint}"),
    }
}

/// The known name that is most like this one, if any is.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (strsim::damerau_levenshtein(known, name), known));
    near.filter(|(distance, known)| *distance <= known.len().div_ceil(3)).min().map(|(_, known)| known)
}

fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

fn remove(value: &mut Value, key: &[String]) -> bool {
    let Some((last, parents)) = key.split_last() else { return false };
    match parents.iter().try_fold(&mut *value, |value, part| value.get_mut(part)) {
        Some(Value::Object(map)) => map.remove(last).is_some(),
        // In a list: the whole list.
        _ => remove(value, parents),
    }
}

/// The schema of the value at this key.
fn at<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').filter(|part| !part.is_empty()).try_fold(schema, property)
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(name));
    named.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
}

fn wants(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    }
}
