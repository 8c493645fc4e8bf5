//! What `config show` prints: the settings in effect, each with its origin.

use std::collections::BTreeMap;

use lockgate::config::Loaded;
use lockgate::core::KindOptions;
use lockgate::settings::KindSettings;
use lockgate::{JobOptions, Kind};
use serde::Serialize;
use serde_json::{Map, Value};

/// The origin of a value that nothing sets.
const DEFAULT: &str = "default";
/// The origin of an option of a kind that only the program's code sets.
const CODE: &str = "the kind's code";

/// The settings in effect.
#[derive(Debug, Serialize)]
pub(super) struct SettingsOutput {
    settings: Map<String, Value>,
    /// The origin of each value by its full key: `default`, `the kind's code`, the path of the file, `the
    /// environment` or `a flag`.
    origins: BTreeMap<String, String>,
}

impl SettingsOutput {
    /// Collects the settings, and those options of the program's kinds that `[kinds.NAME]` does not set.
    pub(super) fn new(loaded: &Loaded, kinds: &[(Kind, KindOptions)]) -> Self {
        let mut settings = loaded.show();
        let mut origins = BTreeMap::new();
        if let Some(Value::Object(by_name)) = settings.get_mut("kinds") {
            for (kind, options) in kinds {
                let unset = || Value::Object(object(&KindSettings::default()));
                let Value::Object(kind_settings) = by_name.entry(kind.as_str()).or_insert_with(unset) else {
                    continue;
                };
                for key in add_unset_options(kind_settings, options) {
                    origins.insert(format!("kinds.{kind}.{key}"), CODE.to_owned());
                }
            }
        }
        for (key, _) in flatten("", &settings) {
            let origin = loaded.origin(&key).unwrap_or(DEFAULT).to_owned();
            origins.entry(key).or_insert(origin);
        }
        Self { settings, origins }
    }

    /// Returns each setting with its value and origin.
    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let line = |(key, value): (String, Value)| {
            let value = if value.is_null() { String::from("-") } else { value.to_string() };
            let origin = self.origins.get(&key).map_or(DEFAULT, String::as_str);
            (key, format!("{value}  ({origin})"))
        };
        flatten("", &self.settings).into_iter().map(line).collect()
    }
}

/// Adds the options that are not set. Returns the keys of those that the kind's code changes.
fn add_unset_options(kind_settings: &mut Map<String, Value>, options: &KindOptions) -> Vec<String> {
    let defaults = JobOptions::queue("default").check();
    let defaults = defaults.map(|options| object(&KindSettings::of(&options))).unwrap_or_default();
    let mut changed = Vec::new();
    for (key, value) in object(&KindSettings::of(options)) {
        if value.is_null() || value.is_object() || kind_settings.get(&key).is_some_and(|set| !set.is_null()) {
            continue;
        }
        if defaults.get(&key) != Some(&value) {
            changed.push(key.clone());
        }
        kind_settings.insert(key, value);
    }
    changed
}

fn object(settings: &KindSettings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn flatten(prefix: &str, settings: &Map<String, Value>) -> Vec<(String, Value)> {
    let below = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    settings
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Object(table) => flatten(&below(key), table),
            value => vec![(below(key), value.clone())],
        })
        .collect()
}
