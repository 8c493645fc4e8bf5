//! Reads the settings: `lockgate.toml`, then the environment, then flags, each stronger than the one before.
//!
//! It collects every fault before it answers, and never guesses: a text is a number only where a section
//! wants one.

mod check;
mod fault;
mod merge;
mod names;
mod secret;
mod section;
mod servers;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::settings::Settings;
use merge::{Origin, Tree};

pub use fault::{ConfigErrors, Fault};
pub use merge::{DEFAULT_FILE, PREFIX};
pub use names::Names;
pub use secret::{Secret, SecretUrl, mask_addresses};
pub use section::{Section, Typed};
pub use servers::Servers;

/// Where settings come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file. It must be there when it is named; by default `lockgate.toml`, when there is one.
    pub file: Option<PathBuf>,
    /// The environment; by default that of the process.
    pub environment: Option<HashMap<String, String>>,
    /// From flags: dotted keys with their values, stronger than all else.
    pub overrides: Vec<(String, String)>,
    /// A worker's own sections.
    pub sections: Vec<Section>,
    /// The pools and kinds that the program uses.
    pub names: Names,
}

// By hand: a value may be a secret, wherever it comes from.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> = self.overrides.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("Sources").field("file", &self.file).field("overrides", &set).finish_non_exhaustive()
    }
}

/// Settings, read and checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The framework's.
    pub settings: Settings,
    /// Where they came from. With more overrides they can be loaded again.
    pub sources: Sources,
    servers: Option<Servers>,
    warnings: Vec<Fault>,
    origins: Arc<BTreeMap<String, Origin>>,
    own: Arc<BTreeMap<&'static str, Tree>>,
}

/// Reads the settings.
///
/// ```
/// use lockgate::config::{Sources, load};
///
/// let overrides = vec![("worker.concurrency".into(), "0".into()), ("runs.bach_size".into(), "5".into())];
/// let errors = load(&Sources { overrides, ..Sources::default() }).unwrap_err();
/// assert_eq!(errors.faults.len(), 2);
/// assert!(errors.to_string().contains("did you mean \"batch_size\"?"));
/// ```
///
/// # Errors
/// With every fault that was found.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (framework, own) = merge::merge(sources)?.split(&sources.sections);
    let mut faults = Vec::new();
    let settings = check::check::<Settings>(&framework, &sources.sections, &mut faults);
    for section in &sources.sections {
        if let Some(tree) = own.get(section.name) {
            section.check(tree, &mut faults);
        }
    }
    let servers = settings.as_ref().and_then(|settings| servers::find(settings, &framework, &mut faults));
    match settings {
        Some(settings) if faults.is_empty() => {
            let warnings = names::warnings(&settings, &framework, sources);
            let (sources, origins, own) = (sources.clone(), framework.origins(), Arc::new(own));
            Ok(Loaded { settings, sources, servers, warnings, origins, own })
        }
        _ => Err(ConfigErrors::new(faults)),
    }
}

impl Loaded {
    /// The defaults, whatever the sources say: for commands that must work despite a faulty config.
    #[must_use]
    pub fn defaults(sources: Sources) -> Self {
        Self {
            settings: Settings::default(),
            sources,
            servers: None,
            warnings: Vec::new(),
            origins: Arc::default(),
            own: Arc::default(),
        }
    }

    /// The addresses of the distributed engine's servers, those from files included; `None` when the engine
    /// is another.
    #[must_use]
    pub fn servers(&self) -> Option<&Servers> {
        self.servers.as_ref()
    }

    /// Returns what is probably a mistake, although nothing forbids it: pools and kinds that nothing uses,
    /// and variables of the environment that set nothing.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// A worker's own section.
    ///
    /// # Errors
    /// When the program declares no section of this name, or it is not of this type.
    pub fn section<T: Typed>(&self, name: &str) -> Result<T, ConfigErrors> {
        let undeclared =
            || ConfigErrors::of_key(name, "the program declares no such section; add it to its sections");
        let tree = self.own.get(name).ok_or_else(undeclared)?;
        let mut faults = Vec::new();
        match check::check::<T>(tree, &[], &mut faults) {
            Some(section) if faults.is_empty() => Ok(section),
            _ => Err(ConfigErrors::new(faults)),
        }
    }

    /// Where the value of a key comes from: the path of the file, `the environment` or `a flag`. `None`:
    /// nothing sets it, so it has its default. The key has its section, such as `worker.concurrency`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(|origin| origin.name.as_str())
    }

    /// Returns all settings in effect, secrets masked; also the secrets of addresses in settings that are not
    /// declared to be secret.
    #[must_use]
    pub fn show(&self) -> Map<String, Value> {
        let mut all = object(&self.settings);
        for section in &self.sources.sections {
            let shown = self.own.get(section.name).map(|tree| section.show(tree));
            all.insert(section.name.to_owned(), shown.unwrap_or_default());
        }
        all.values_mut().for_each(mask);
        all
    }
}

/// The JSON schema of a config file with these sections.
#[must_use]
pub fn schema(sections: &[Section]) -> Value {
    let mut root = section::schema_of::<Settings>().to_value();
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        for section in sections {
            let mut schema = section.schema();
            schema.remove("$schema");
            properties.insert(section.name.to_owned(), schema.to_value());
        }
    }
    root
}

/// A config file with these sections that says what each key means, and changes nothing.
#[must_use]
pub fn template(sections: &[Section]) -> String {
    let mut defaults = object(&Settings::default());
    for section in sections {
        defaults.insert(section.name.to_owned(), section.defaults());
    }
    template::render(&schema(sections), &defaults)
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask_addresses(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(map) => map.values_mut().for_each(mask),
        _ => {}
    }
}

fn object(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
