//! Finds the sections of the config that belong to other programs.
//!
//! The benchmark reads the config of a worker, and the config loader refuses a section that no program
//! declares. So every table of the file that the framework does not know, and every such section of the
//! environment, is declared here as one whose keys are not checked.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use garde::Validate;
use lockgate::Settings;
use lockgate::config::{DEFAULT_FILE, Section};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Variables of the environment that are settings begin with this: `LOCKGATE__WORKER__CONCURRENCY`.
const PREFIX: &str = "LOCKGATE__";

/// A section with any keys.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
struct AnyKeys {
    #[serde(flatten)]
    #[garde(skip)]
    keys: BTreeMap<String, Value>,
}

/// Returns the sections of other programs, in the config file of this command line and in the environment.
pub(crate) fn find(arguments: impl IntoIterator<Item = OsString>) -> Vec<Section> {
    let file = std::fs::read_to_string(config_file(arguments)).unwrap_or_default();
    let variables: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let names = of_file(&file).into_iter().chain(of_environment(&variables));
    let known = serde_json::to_value(Settings::default()).unwrap_or_default();
    let unknown: BTreeSet<String> = names.filter(|name| known.get(name).is_none()).collect();
    // A section's name is static, as it is in every other program. The names live as long as the process.
    unknown.into_iter().map(|name| Section::of::<AnyKeys>(name.leak())).collect()
}

/// The config file of this command line. A file that is missing or faulty is refused later, by the config
/// loader.
fn config_file(arguments: impl IntoIterator<Item = OsString>) -> PathBuf {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let separate = arguments.iter().zip(arguments.iter().skip(1)).find(|(flag, _)| *flag == "--config");
    let joined = || arguments.iter().find_map(|argument| argument.to_str()?.strip_prefix("--config="));
    match separate {
        Some((_, path)) => PathBuf::from(path),
        None => Path::new(joined().unwrap_or(DEFAULT_FILE)).to_path_buf(),
    }
}

fn of_file(text: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(text).unwrap_or_default();
    table.into_iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name).collect()
}

fn of_environment(variables: &[String]) -> Vec<String> {
    let section = |name: &String| Some(name.strip_prefix(PREFIX)?.split_once("__")?.0.to_ascii_lowercase());
    variables.iter().filter_map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_file_is_that_of_the_flag_in_both_forms_or_the_default() {
        let file = |line: &str| config_file(line.split(' ').map(OsString::from));
        assert_eq!(file("lockgate-bench --config a.toml run"), Path::new("a.toml"));
        assert_eq!(file("lockgate-bench run --config=b.toml"), Path::new("b.toml"));
        assert_eq!(file("lockgate-bench run"), Path::new(DEFAULT_FILE));
    }

    #[test]
    fn sections_are_tables_of_the_file_and_prefixes_of_variables() {
        assert_eq!(of_file("x = 1\n[worker]\nconcurrency = 1\n[mail]\nfrom = 'me'\n"), ["mail", "worker"]);
        assert_eq!(of_file("not toml"), Vec::<String>::new());
        let variables = ["LOCKGATE__MAIL__FROM", "LOCKGATE__ENGINE", "HOME"].map(String::from);
        assert_eq!(of_environment(&variables), ["mail"]);
    }
}
