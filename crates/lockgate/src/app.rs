//! A program's jobs and the state that they share.
//!
//! Independent of the engine.

use lockgate_core::KindOptions;
use lockgate_runtime::{Job, Registry, RegistryError, State};

use crate::settings::Kinds;

/// A program's jobs and the state that they share.
///
/// ```
/// # use async_trait::async_trait;
/// # use lockgate::{App, Context, Failure, Job, JobOptions};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Greet;
/// # #[async_trait]
/// # impl Job for Greet {
/// #     const KIND: &'static str = "greet";
/// #     fn options() -> JobOptions { JobOptions::queue("greetings") }
/// #     async fn run(self, _: &Context) -> Result<(), Failure> { Ok(()) }
/// # }
/// let app = App::new().job::<Greet>()?.state(String::from("shared by all jobs"));
/// # Ok::<(), lockgate::runtime::RegistryError>(())
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct App {
    /// The kinds of its jobs.
    pub registry: Registry,
    /// What its jobs share.
    pub state: State,
}

impl App {
    /// An app without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind of job.
    ///
    /// # Errors
    /// When one of its names is none, or the kind is there already.
    pub fn job<J: Job>(mut self) -> Result<Self, RegistryError> {
        self.registry.add::<J>()?;
        Ok(self)
    }

    /// Changes the options of a kind: a program's config may say otherwise than the type.
    pub fn adjust(mut self, kind: &str, change: impl FnOnce(&mut KindOptions)) -> Self {
        self.registry.adjust(kind, change);
        self
    }

    /// Changes the options of all kinds to what `[kinds.NAME]` says. What the program's code and
    /// [`App::adjust`] say is weaker.
    pub fn configured(mut self, kinds: &Kinds) -> Self {
        for (kind, settings) in kinds.iter() {
            self.registry.adjust(kind.as_str(), |options| settings.apply(options));
        }
        self
    }

    /// Adds a value that jobs ask for by its type, [`lockgate_runtime::Context::state`].
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state = self.state.with(value);
        self
    }
}
