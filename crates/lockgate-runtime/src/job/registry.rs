//! The job kinds that a process knows.
//!
//! The types of job authors end here. All other code handles envelopes with an undecoded payload.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::bounds::DurationError;
use lockgate_core::job::OptionsError;
use lockgate_core::name::NameError;
use lockgate_core::{Failure, Kind, KindOptions, QueueName};

use super::canceller::Canceller;
use super::{Context, Job, State};
use crate::panics;

/// The job kinds of a process, by name.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<Kind, RegisteredKind>,
}

/// A job kind with its options and its code.
pub struct RegisteredKind {
    /// The options of the kind, as its type or the program's configuration sets them.
    pub options: KindOptions,
    runner: Box<dyn Runner>,
}

/// Why a kind was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of the kind, of its queue or of a pool is invalid.
    #[error("cannot register the job kind {kind:?}")]
    Name {
        /// [`Job::KIND`] of the type.
        kind: &'static str,
        /// Which rule the name violates.
        source: NameError,
    },
    /// A duration of the options is out of range.
    #[error("cannot register the job kind {kind}: {source}")]
    Duration {
        /// The kind whose options are invalid.
        kind: Kind,
        /// Which duration is out of range.
        source: DurationError,
    },
    /// Two types have the same [`Job::KIND`].
    #[error("the job kind {0} is registered twice; each type needs a KIND of its own")]
    Twice(Kind),
}

impl Registry {
    /// Registers a kind.
    ///
    /// # Errors
    /// When a name is invalid, a duration is out of range, or the kind is registered already.
    pub fn add<J: Job>(&mut self) -> Result<(), RegistryError> {
        let name_error = |source| RegistryError::Name { kind: J::KIND, source };
        let kind = Kind::new(J::KIND).map_err(name_error)?;
        let options = J::options().check().map_err(|error| match error {
            OptionsError::Name(source) => name_error(source),
            OptionsError::Duration(source) => RegistryError::Duration { kind: kind.clone(), source },
        })?;
        let registered = RegisteredKind { options, runner: Box::new(TypedRunner::<J>(PhantomData)) };
        match self.kinds.insert(kind.clone(), registered) {
            None => Ok(()),
            Some(_) => Err(RegistryError::Twice(kind)),
        }
    }

    /// Changes the options of a registered kind, for example to what the program's configuration sets. Does
    /// nothing when the kind is not registered.
    pub fn adjust(&mut self, kind: &str, change: impl FnOnce(&mut KindOptions)) {
        if let Some((_, registered)) = self.kinds.iter_mut().find(|(name, _)| name.as_str() == kind) {
            change(&mut registered.options);
        }
    }

    /// Checks the options of all kinds again, because [`Registry::adjust`] may have changed them.
    ///
    /// # Errors
    /// When a duration is out of range.
    pub fn check(&self) -> Result<(), RegistryError> {
        for (kind, options) in self.kinds() {
            let duration_error = |source| RegistryError::Duration { kind: kind.clone(), source };
            options.check().map_err(duration_error)?;
        }
        Ok(())
    }

    /// Returns the registered kind of this name.
    #[must_use]
    pub fn get(&self, kind: &Kind) -> Option<&RegisteredKind> {
        self.kinds.get(kind)
    }

    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = (&Kind, &mut RegisteredKind)> {
        self.kinds.iter_mut()
    }

    /// Returns all kinds with their options.
    pub fn kinds(&self) -> impl Iterator<Item = (&Kind, &KindOptions)> {
        self.kinds.iter().map(|(kind, registered)| (kind, &registered.options))
    }

    /// Returns the queues of all kinds, each once.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueName> {
        let mut queues: Vec<_> = self.kinds.values().map(|kind| kind.options.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        queues
    }
}

impl RegisteredKind {
    /// Checks that a payload can be decoded as a job of this kind.
    ///
    /// # Errors
    /// When it cannot be decoded, or when the type's code panics on it.
    pub fn check_payload(&self, payload: &str) -> Result<(), serde_json::Error> {
        self.runner.check_payload(payload)
    }

    /// Returns the canceller of the kind, if it has one.
    #[must_use]
    pub fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>> {
        self.runner.canceller(state)
    }

    /// Runs the jobs of these contexts, a single job or a group. Returns one result for each job, in the
    /// order of the contexts. A job whose payload cannot be decoded fails permanently.
    pub async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>> {
        self.runner.run(contexts).await
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}

/// The code of a kind, without its type.
#[async_trait]
trait Runner: Send + Sync {
    fn check_payload(&self, payload: &str) -> Result<(), serde_json::Error>;
    fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>>;
    async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>>;
}

// `fn() -> J` makes the marker `Sync` whatever `J` is.
struct TypedRunner<J>(PhantomData<fn() -> J>);

#[async_trait]
impl<J: Job> Runner for TypedRunner<J> {
    fn check_payload(&self, payload: &str) -> Result<(), serde_json::Error> {
        // A payload on which the author's code panics is as unreadable as any other invalid payload.
        catch_unwind(|| serde_json::from_str::<J>(payload).map(drop)).unwrap_or_else(|panic| {
            Err(serde::de::Error::custom(format!("panicked: {}", panics::message(panic.as_ref()))))
        })
    }

    fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>> {
        J::canceller(state)
    }

    async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>> {
        let decode =
            |ctx: &Context| serde_json::from_str::<J>(&ctx.envelope.payload).map_err(Failure::permanent);
        if let [ctx] = contexts {
            return match decode(ctx) {
                Ok(job) => vec![job.run(ctx).await],
                Err(failure) => vec![Err(failure)],
            };
        }
        let (mut group, mut decoded) = (Vec::new(), Vec::with_capacity(contexts.len()));
        for ctx in contexts {
            decoded.push(decode(ctx).map(|job| group.push((job, ctx.clone()))));
        }
        let mut returned = J::run_group(group).await.into_iter();
        let missing =
            || Failure::permanent("`run_group` of the kind returned fewer results than the group has jobs");
        decoded
            .into_iter()
            .map(|decoded| decoded.and_then(|()| returned.next().unwrap_or_else(|| Err(missing()))))
            .collect()
    }
}
