//! Lays the sources over each other: file, environment, flags. It decides nothing about what is in them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, Environment, File, FileFormat, ValueKind};
use serde_json::{Map, Value};

use super::{ConfigErrors, Section, Sources, names};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "lockgate.toml";

/// What the environment's keys begin with: `LOCKGATE__WORKER__CONCURRENCY` is `worker.concurrency`.
pub const PREFIX: &str = "LOCKGATE";

/// The origin of what flags say.
pub(super) const FLAG: &str = "a flag";

/// The origin of what the environment says.
pub(super) const ENVIRONMENT: &str = "the environment";

/// A part of the merged config.
pub(super) struct Tree {
    /// Its place, with dots; empty for the root.
    pub(super) place: String,
    /// Its values.
    pub(super) value: Value,
    origins: Arc<BTreeMap<String, Origin>>,
}

// By hand: a value may be a secret.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Where a value came from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// As people call it.
    pub(super) name: String,
    /// Whether it had nothing but texts to say it in.
    pub(super) texts_only: bool,
}

/// Reads all sources and lays them over each other.
pub(super) fn merge(sources: &Sources) -> Result<Tree, ConfigErrors> {
    let mut builder = Config::builder();
    if let Some((path, text)) = read(sources.file.as_deref())? {
        builder = builder.add_source(Named { path, text });
    }
    // Nothing is parsed here: "00123" may be a secret. The sections know which of their texts are numbers.
    let environment = Environment::with_prefix(PREFIX).prefix_separator("__").separator("__");
    let variables = sources.environment.clone().map(|variables| variables.into_iter().collect());
    builder = builder.add_source(environment.try_parsing(false).source(variables));
    for (key, value) in &sources.overrides {
        let value = config::Value::new(Some(&FLAG.to_owned()), value.as_str());
        builder = builder
            .set_override(key, value)
            .map_err(|_| ConfigErrors::of_file(FLAG, format!("{key:?} is no key; write section.key")))?;
    }
    let merged = builder.build().map_err(|error| ConfigErrors::of_file(ENVIRONMENT, one_line(&error)))?;
    let mut origins = BTreeMap::new();
    let mut value = convert(merged.cache, "", &mut origins);
    names::resolve(&mut value, &mut origins, &sources.names);
    Ok(Tree { place: String::new(), value, origins: Arc::new(origins) })
}

impl Tree {
    /// The framework's part, and that of each section.
    pub(super) fn split(self, sections: &[Section]) -> (Self, BTreeMap<&'static str, Self>) {
        let Self { place, value, origins } = self;
        let mut root = match value {
            Value::Object(root) => root,
            _ => Map::new(),
        };
        let theirs = sections
            .iter()
            .map(|section| {
                let value = root.remove(section.name).unwrap_or_else(|| Value::Object(Map::new()));
                (section.name, Self { place: section.name.to_owned(), value, origins: Arc::clone(&origins) })
            })
            .collect();
        (Self { place, value: Value::Object(root), origins }, theirs)
    }

    /// Where each value came from, by its key in full.
    pub(super) fn origins(&self) -> Arc<BTreeMap<String, Origin>> {
        Arc::clone(&self.origins)
    }

    /// The key in full.
    pub(super) fn full(&self, key: &str) -> String {
        match (self.place.as_str(), key) {
            (place, "") => place.to_owned(),
            ("", key) => key.to_owned(),
            (place, key) => format!("{place}.{key}"),
        }
    }

    /// Where the value of this key came from; of a table, where one of its keys did.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        let full = self.full(key);
        let below = format!("{full}.");
        let inside = self.origins.range(below.clone()..).next().filter(|(key, _)| key.starts_with(&below));
        self.origins.get(&full).or(inside.map(|(_, origin)| origin))
    }
}

/// A file that was read and parsed once already, for errors that name the line.
#[derive(Debug, Clone)]
struct Named {
    path: PathBuf,
    text: String,
}

impl config::Source for Named {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, config::Value>, config::ConfigError> {
        let table = File::from_str(&self.text, FileFormat::Toml).collect()?;
        let name = self.path.display().to_string();
        Ok(table.into_iter().map(|(key, value)| (key, named(value, &name))).collect())
    }
}

fn read(file: Option<&Path>) -> Result<Option<(PathBuf, String)>, ConfigErrors> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let way_out = "name a readable TOML file with --config, or make one with `config init`";
            return Err(ConfigErrors::of_file(
                path.display().to_string(),
                format!("cannot read the config file: {error}; {way_out}"),
            ));
        }
    };
    match text.parse::<toml::Table>() {
        Ok(_) => Ok(Some((path.to_owned(), text))),
        Err(error) => {
            let line =
                error.span().map_or(1, |span| 1 + text.get(..span.start).unwrap_or("").matches('\n').count());
            let problem = format!("not TOML at line {line}: {}; correct that line", error.message());
            Err(ConfigErrors::of_file(path.display().to_string(), one_line(&problem)))
        }
    }
}

fn named(value: config::Value, origin: &String) -> config::Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, named(value, origin))).collect())
        }
        kind => kind,
    };
    config::Value::new(Some(origin), kind)
}

fn convert(value: config::Value, place: &str, origins: &mut BTreeMap<String, Origin>) -> Value {
    if let Some(name) = value.origin() {
        let texts_only = name == FLAG || name == ENVIRONMENT;
        origins.insert(place.to_owned(), Origin { name: name.to_owned(), texts_only });
    }
    let below = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match value.kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(flag) => flag.into(),
        ValueKind::I64(number) => number.into(),
        ValueKind::U64(number) => number.into(),
        // Larger than any setting: a text, so that the fault shows it.
        ValueKind::I128(number) => number.to_string().into(),
        ValueKind::U128(number) => number.to_string().into(),
        ValueKind::Float(number) => number.into(),
        ValueKind::String(text) => text.into(),
        ValueKind::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(n, item)| convert(item, &below(&n.to_string()), origins))
            .collect(),
        ValueKind::Table(table) => Value::Object(
            table
                .into_iter()
                .map(|(key, item)| (key.clone(), convert(item, &below(&key), origins)))
                .collect(),
        ),
    }
}

fn one_line(text: &impl ToString) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
