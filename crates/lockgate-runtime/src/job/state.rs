//! Values that a program shares with its jobs, such as connection pools.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use lockgate_core::{ErrorClass, JobError};

/// Values that jobs share, at most one of each type. Cheap to clone.
#[derive(Clone, Default)]
pub struct State(Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl State {
    /// Adds a value. It replaces an earlier value of the same type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(self, value: T) -> Self {
        let mut values = Arc::unwrap_or_clone(self.0);
        values.insert(TypeId::of::<T>(), Arc::new(value));
        Self(Arc::new(values))
    }

    /// Returns the value of type `T`.
    ///
    /// # Errors
    /// When there is no value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<&T, MissingState> {
        let value = self.0.get(&TypeId::of::<T>());
        value.and_then(|v| v.downcast_ref()).ok_or(MissingState(type_name::<T>()))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({} values)", self.0.len())
    }
}

/// The program registered no state of the requested type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no state of type {0} was registered; add it to the app with `.state(..)`")]
pub struct MissingState(&'static str);

impl JobError for MissingState {
    fn class(&self) -> ErrorClass {
        ErrorClass::Permanent
    }
}
