//! Faults of a config: each names its key, its value, where that came from, and the remedy. A secret's value
//! is never shown.

use std::fmt;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The key, with dots; empty for the whole file.
    pub key: String,
    /// Its value, when there is one to show.
    pub value: Option<String>,
    /// Where the value came from: a file, `the environment`, a flag.
    pub origin: Option<String>,
    /// What is wrong, and the remedy.
    pub problem: String,
}

/// Every fault of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The faults, at least one.
    pub faults: Vec<Fault>,
}

impl ConfigErrors {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// A fault of a whole file.
    pub(super) fn of_file(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        let (origin, problem) = (Some(origin.into()), problem.into());
        Self::new(vec![Fault { key: String::new(), value: None, origin, problem }])
    }

    /// A fault of a key.
    pub(super) fn of_key(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::new(vec![Fault { key: key.into(), value: None, origin: None, problem: problem.into() }])
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.value, &self.origin) {
            ("", _, Some(origin)) => write!(f, "{origin}: {}", self.problem),
            (key, None, None) => write!(f, "{key}: {}", self.problem),
            (key, None, Some(origin)) => write!(f, "{key} (from {origin}): {}", self.problem),
            (key, Some(value), None) => write!(f, "{key} = {value}: {}", self.problem),
            (key, Some(value), Some(origin)) => {
                write!(f, "{key} = {value} (from {origin}): {}", self.problem)
            }
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
