//! A section that a worker brings along: its type, checked and described like the framework's own.
//!
//! Works for every section type alike.

use std::fmt;

use garde::Validate;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::merge::Tree;
use super::{Fault, check};

/// What a section's type can do.
pub trait Typed: DeserializeOwned + Serialize + Default + JsonSchema + Validate<Context = ()> {}

impl<T: DeserializeOwned + Serialize + Default + JsonSchema + Validate<Context = ()>> Typed for T {}

/// A section of the config.
#[derive(Clone, Copy)]
pub struct Section {
    /// Its name: `[name]` in the file, `LOCKGATE__NAME__KEY` in the environment.
    pub name: &'static str,
    schema: fn() -> Schema,
    defaults: fn() -> Value,
    check: fn(&Tree, &mut Vec<Fault>),
    show: fn(&Tree) -> Value,
}

impl Section {
    /// The section of this type and name.
    #[must_use]
    pub fn of<T: Typed>(name: &'static str) -> Self {
        Self {
            name,
            schema: schema_of::<T>,
            defaults: || serde_json::to_value(T::default()).unwrap_or_default(),
            check: |tree, faults| drop(check::check::<T>(tree, &[], faults)),
            show: |tree| {
                let value = check::check::<T>(tree, &[], &mut Vec::new());
                value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
            },
        }
    }

    /// Its JSON schema.
    #[must_use]
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// Its defaults, secrets masked.
    #[must_use]
    pub fn defaults(&self) -> Value {
        (self.defaults)()
    }

    pub(super) fn check(&self, tree: &Tree, faults: &mut Vec<Fault>) {
        (self.check)(tree, faults);
    }

    pub(super) fn show(&self, tree: &Tree) -> Value {
        (self.show)(tree)
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Section").field(&self.name).finish()
    }
}

/// The schema of a type, in one piece: nothing in it refers elsewhere.
pub(super) fn schema_of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}
