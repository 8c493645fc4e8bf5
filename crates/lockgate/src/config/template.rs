//! The config as a documented file: made from the sections' own schemas and defaults, so that it cannot lag
//! behind.

use std::fmt::Write;

use serde_json::{Map, Value};

const HEAD: &str = "\
# What is not set here, or is commented out, has the default that is shown. Stronger than this file are the
# environment (LOCKGATE__WORKER__CONCURRENCY=64) and flags (--set worker.concurrency=64).
";

/// An example of what goes by name, so that its keys are shown at all.
const EXAMPLE_POOL: &str = "clickhouse";
const EXAMPLE_KIND: &str = "spike-projection";

/// Renders the file.
pub(super) fn render(schema: &Value, defaults: &Map<String, Value>) -> String {
    let mut text = String::from(HEAD);
    let properties = schema.get("properties").and_then(Value::as_object);
    let (scalars, tables): (Vec<_>, Vec<_>) = defaults.iter().partition(|(_, value)| !value.is_object());
    for (name, value) in scalars {
        text.push('\n');
        key(&mut text, name, value, properties.and_then(|p| p.get(name)));
    }
    for (name, value) in tables {
        let Some(schema) = properties.and_then(|p| p.get(name)) else { continue };
        table(&mut text, name, "", (value, schema));
    }
    text
}

/// A table; `off` stands before its header when it is an example.
fn table(text: &mut String, name: &str, off: &str, (defaults, schema): (&Value, &Value)) {
    if let Some(each) = schema.get("additionalProperties").filter(|s| s.is_object()) {
        let example = each.get("properties").and_then(Value::as_object).into_iter().flatten();
        let example: Map<_, _> = example
            .map(|(key, schema)| (key.clone(), schema.get("default").cloned().unwrap_or_default()))
            .collect();
        text.push('\n');
        describe(text, schema);
        let named = if name == "kinds" { EXAMPLE_KIND } else { EXAMPLE_POOL };
        let name = format!("{name}.{named}");
        text.push_str(&format!("# [{name}]\n"));
        return keys(text, &name, "# ", (&example, each));
    }
    if let Some(defaults) = defaults.as_object() {
        text.push('\n');
        describe(text, schema);
        text.push_str(&format!("{off}[{name}]\n"));
        keys(text, name, off, (defaults, schema));
    }
}

fn keys(text: &mut String, name: &str, off: &str, (defaults, schema): (&Map<String, Value>, &Value)) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let (scalars, tables): (Vec<_>, Vec<_>) = defaults.iter().partition(|(_, value)| !value.is_object());
    for (name, value) in scalars {
        key(text, name, value, properties.and_then(|p| p.get(name)));
    }
    for (below, value) in tables {
        if let Some(schema) = properties.and_then(|p| p.get(below)) {
            table(text, &format!("{name}.{below}"), off, (value, schema));
        }
    }
}

fn key(text: &mut String, name: &str, value: &Value, schema: Option<&Value>) {
    if let Some(schema) = schema {
        describe(text, schema);
    }
    let line = match value {
        Value::Null => format!("# {name} is not set\n"),
        // Tables within a list are written otherwise in TOML.
        Value::Array(_) => {
            let list =
                toml::Value::try_from(value).map_or_else(|_| value.to_string(), |list| list.to_string());
            format!("# {name} = {list}\n")
        }
        // JSON's texts, numbers and flags are TOML's too.
        value => format!("# {name} = {value}\n"),
    };
    text.push_str(&line);
}

fn describe(text: &mut String, schema: &Value) {
    for line in schema.get("description").and_then(Value::as_str).unwrap_or_default().lines() {
        let _infallible = writeln!(text, "# {line}");
    }
}
