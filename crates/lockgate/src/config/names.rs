//! Names of pools and kinds in the config, compared with those that the program uses: a shell cannot spell
//! some of them in the environment, and one that nothing uses is most likely misspelled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lockgate_core::{Kind, PoolName};
use serde_json::{Map, Value};

use super::check::closest;
use super::merge::{ENVIRONMENT, FLAG, Origin, PREFIX, Tree};
use super::{Fault, Sources};
use crate::settings::Settings;

/// The names that a program uses. Where none are given, none are known, and nothing is said about those of
/// the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The pools that its jobs need.
    pub pools: Vec<PoolName>,
    /// The kinds of its jobs.
    pub kinds: Vec<Kind>,
}

impl Names {
    /// The tables of the config that go by names, each with the names that are used.
    fn tables(&self) -> [(&'static str, BTreeSet<&str>); 2] {
        [
            ("pools", self.pools.iter().map(PoolName::as_str).collect()),
            ("kinds", self.kinds.iter().map(Kind::as_str).collect()),
        ]
    }
}

/// Gives values of the environment to the name that was meant: `LOCKGATE__KINDS__SPIKE_PROJECTION__RATE` is
/// that of `spike-projection`, when that is a kind of the program or a name in the file, and no other name is
/// spelled alike.
pub(super) fn resolve(value: &mut Value, origins: &mut BTreeMap<String, Origin>, names: &Names) {
    for (table, used) in names.tables() {
        let Some(Value::Object(entries)) = value.get_mut(table) else { continue };
        let all: Vec<String> = entries.keys().cloned().collect();
        let is_of_environment = |name: &String| {
            let place = format!("{table}.{name}");
            let below = format!("{place}.");
            let inside = origins.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
            let mut all = origins.get_key_value(&place).into_iter().chain(inside);
            all.all(|(_, origin)| origin.name == ENVIRONMENT)
        };
        let (given, written): (Vec<&String>, Vec<&String>) =
            all.iter().partition(|name| is_of_environment(name));
        let known: BTreeSet<&str> =
            used.into_iter().chain(written.iter().map(|name| name.as_str())).collect();
        for name in given.into_iter().filter(|name| !known.contains(name.as_str())) {
            let meant: Vec<&&str> = known.iter().filter(|known| in_shell(known) == *name).collect();
            if let [meant] = meant[..] {
                rename(entries, origins, (table, name, meant));
            }
        }
    }
}

/// The name as the environment can spell it, in the lower case that its keys are read in.
fn in_shell(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

fn rename(
    entries: &mut Map<String, Value>,
    origins: &mut BTreeMap<String, Origin>,
    (table, from, to): (&str, &str, &str),
) {
    let Some(Value::Object(given)) = entries.remove(from) else { return };
    let entry = entries.entry(to).or_insert_with(|| Value::Object(Map::new()));
    for (key, value) in given {
        let origin = origins.remove(&format!("{table}.{from}.{key}"));
        let place = format!("{table}.{to}.{key}");
        // Stronger than the file, weaker than flags.
        let is_overridden = origins.get(&place).is_some_and(|origin| origin.name == FLAG);
        if let (Value::Object(entry), false) = (&mut *entry, is_overridden) {
            entry.insert(key, value);
            origins.extend(origin.map(|origin| (place, origin)));
        }
    }
}

/// What is probably a mistake, although nothing forbids it.
pub(super) fn warnings(settings: &Settings, tree: &Tree, sources: &Sources) -> Vec<Fault> {
    let pools = settings.pools.keys().map(|name| ("pools", name.as_str()));
    let kinds = settings.kinds.keys().map(|name| ("kinds", name.as_str()));
    let tables: HashMap<_, _> = sources.names.tables().into_iter().collect();
    let unused = pools.chain(kinds).filter_map(|(table, name)| {
        let used = tables.get(table).filter(|used| !used.is_empty() && !used.contains(name))?;
        let key = format!("{table}.{name}");
        let what = if table == "pools" {
            "no job of this program uses this pool"
        } else {
            "this program has no such kind"
        };
        let problem = format!("{what}; {}", hint(name, used));
        let origin = tree.origin(&key).map(|origin| origin.name.clone());
        Some(Fault { key, value: None, origin, problem })
    });
    let mut found: Vec<Fault> = unused.collect();
    found.extend(variables(sources).iter().filter_map(|variable| misspelled(variable)));
    found
}

fn hint(name: &str, used: &BTreeSet<&str>) -> String {
    match closest(name, used.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("one of {}", used.iter().copied().collect::<Vec<_>>().join(", ")),
    }
}

/// Names of the environment's variables.
fn variables(sources: &Sources) -> BTreeSet<String> {
    match &sources.environment {
        Some(environment) => environment.keys().cloned().collect(),
        None => std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
    }
}

/// `LOCKGATE_WORKER__X` and `LOCKGATE_WORKER_X` set nothing: two underscores divide prefix, section and key.
fn misspelled(variable: &str) -> Option<Fault> {
    let rest = variable.strip_prefix(PREFIX)?.strip_prefix('_').filter(|rest| !rest.starts_with('_'))?;
    let sections = Settings::default();
    let sections = serde_json::to_value(sections).ok()?;
    let is_section = |name: &str| sections.get(name.to_ascii_lowercase()).is_some();
    let meant = match rest.split_once("__") {
        Some(_) => Some(format!("{PREFIX}__{rest}")),
        None => rest
            .split_once('_')
            .filter(|(name, _)| is_section(name))
            .map(|(name, key)| format!("{PREFIX}__{name}__{key}")),
    }?;
    Some(Fault {
        key: variable.to_owned(),
        value: None,
        origin: Some(ENVIRONMENT.to_owned()),
        problem: format!("this variable sets nothing; did you mean {meant}?"),
    })
}
