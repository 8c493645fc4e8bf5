//! The kinds that a process knows. A job author's types end here: everything behind it handles envelopes.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::panic::catch_unwind;
use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::bounds::DurationError;
use lockgate_core::job::OptionsError;
use lockgate_core::name::NameError;
use lockgate_core::{Failure, Kind, KindOptions, QueueName};

use crate::job::canceller::Canceller;
use crate::job::{Context, Job, State};
use crate::panics;

/// The kinds of a process, by name.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<Kind, Entry>,
}

/// A kind with its options.
pub struct Entry {
    /// Its options.
    pub options: KindOptions,
    runner: Box<dyn Runner>,
}

/// Why a kind was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Its name, its queue's or a pool's is none.
    #[error("cannot register the job kind {kind:?}")]
    Name {
        /// The kind.
        kind: &'static str,
        /// What is wrong.
        source: NameError,
    },
    /// A duration of its options is out of range.
    #[error("cannot register the job kind {kind}: {source}")]
    Duration {
        /// The kind.
        kind: Kind,
        /// What is wrong.
        source: DurationError,
    },
    /// Two types have the same name.
    #[error("the job kind {0} is registered twice; each type needs a KIND of its own")]
    Twice(Kind),
}

impl Registry {
    /// Adds a kind.
    ///
    /// # Errors
    /// When a name is none, a duration is out of range, or the kind is there already.
    pub fn add<J: Job>(&mut self) -> Result<(), RegistryError> {
        let named = |source| RegistryError::Name { kind: J::KIND, source };
        let kind = Kind::new(J::KIND).map_err(named)?;
        let options = J::options().check().map_err(|error| match error {
            OptionsError::Name(source) => named(source),
            OptionsError::Duration(source) => RegistryError::Duration { kind: kind.clone(), source },
        })?;
        let entry = Entry { options, runner: Box::new(Typed::<J>(PhantomData)) };
        match self.kinds.insert(kind.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(RegistryError::Twice(kind)),
        }
    }

    /// Changes the options of a kind that is there: a program's config may say otherwise than the type.
    pub fn adjust(&mut self, kind: &str, change: impl FnOnce(&mut KindOptions)) {
        if let Some((_, entry)) = self.kinds.iter_mut().find(|(name, _)| name.as_str() == kind) {
            change(&mut entry.options);
        }
    }

    /// Checks the options of all kinds once more: a program may have changed them with [`Registry::adjust`].
    ///
    /// # Errors
    /// When a duration is out of range.
    pub fn check(&self) -> Result<(), RegistryError> {
        for (kind, options) in self.kinds() {
            let named = |source| RegistryError::Duration { kind: kind.clone(), source };
            options.check().map_err(named)?;
        }
        Ok(())
    }

    /// The kind of this name.
    #[must_use]
    pub fn get(&self, kind: &Kind) -> Option<&Entry> {
        self.kinds.get(kind)
    }

    /// All kinds.
    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = (&Kind, &mut Entry)> {
        self.kinds.iter_mut()
    }

    /// All kinds with their options.
    pub fn kinds(&self) -> impl Iterator<Item = (&Kind, &KindOptions)> {
        self.kinds.iter().map(|(kind, entry)| (kind, &entry.options))
    }

    /// The queues of all kinds, each once.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueName> {
        let mut queues: Vec<_> = self.kinds.values().map(|entry| entry.options.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        queues
    }
}

impl Entry {
    /// Whether this payload is one of the kind, and what is wrong when it is not.
    ///
    /// # Errors
    /// When it is not.
    pub fn reads(&self, payload: &str) -> Result<(), serde_json::Error> {
        self.runner.reads(payload)
    }

    /// How its backend work is ended, when it can be.
    #[must_use]
    pub fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>> {
        self.runner.canceller(state)
    }

    /// Runs the jobs of these contexts, one or a group, and answers for each in their order: as the job says; a payload that
    /// is not the kind's is permanent.
    pub async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>> {
        self.runner.run(contexts).await
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}

#[async_trait]
trait Runner: Send + Sync {
    fn reads(&self, payload: &str) -> Result<(), serde_json::Error>;
    fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>>;
    async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>>;
}

// `fn() -> J` so that the marker is `Sync` whatever `J` is.
struct Typed<J>(PhantomData<fn() -> J>);

#[async_trait]
impl<J: Job> Runner for Typed<J> {
    fn reads(&self, payload: &str) -> Result<(), serde_json::Error> {
        // A payload that makes its author's code panic is as unreadable as any other.
        catch_unwind(|| serde_json::from_str::<J>(payload).map(drop)).unwrap_or_else(|panic| {
            Err(serde::de::Error::custom(format!("panicked: {}", panics::message(panic.as_ref()))))
        })
    }

    fn canceller(&self, state: &State) -> Option<Arc<dyn Canceller>> {
        J::canceller(state)
    }

    async fn run(&self, contexts: &[Context]) -> Vec<Result<(), Failure>> {
        let read =
            |ctx: &Context| serde_json::from_str::<J>(&ctx.envelope.payload).map_err(Failure::permanent);
        if let [ctx] = contexts {
            return match read(ctx) {
                Ok(job) => vec![job.run(ctx).await],
                Err(failure) => vec![Err(failure)],
            };
        }
        let (mut group, mut answers) = (Vec::new(), Vec::with_capacity(contexts.len()));
        for ctx in contexts {
            let job = read(ctx).map(|job| group.push((job, ctx.clone())));
            answers.push(job);
        }
        let mut returned = J::run_group(group).await.into_iter();
        let short = || {
            Failure::permanent(
                "its group answered for fewer jobs than it has; a fault of the kind's `run_group`",
            )
        };
        answers
            .into_iter()
            .map(|read| read.and_then(|()| returned.next().unwrap_or_else(|| Err(short()))))
            .collect()
    }
}
