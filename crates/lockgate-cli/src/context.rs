//! The context of a command: the program, its settings, the terminal, and the engine.
//!
//! The engine is connected at first use, so a command that does not use it needs no store.

use std::fmt;
use std::sync::Arc;

use lockgate::{Loaded, Lockgate};
use tokio::sync::OnceCell;

use crate::program::Program;
use crate::terminal::Terminal;

/// The context in which a command runs: program, terminal, settings, and the engine once it is opened.
pub struct CommandContext {
    program: Arc<dyn Program>,
    terminal: Terminal,
    loaded: Loaded,
    lockgate: OnceCell<Lockgate>,
}

impl CommandContext {
    pub(crate) fn new(program: Arc<dyn Program>, terminal: Terminal, loaded: Loaded) -> Self {
        Self { program, terminal, loaded, lockgate: OnceCell::new() }
    }

    /// Returns the program that the command belongs to.
    #[must_use]
    pub fn program(&self) -> &dyn Program {
        self.program.as_ref()
    }

    /// Returns the terminal, for everything that the command prints.
    #[must_use]
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Returns the settings in effect: file, environment and flags together.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Returns the engine, which the first call connects.
    ///
    /// # Errors
    /// When it cannot be connected.
    pub async fn lockgate(&self) -> anyhow::Result<&Lockgate> {
        self.lockgate.get_or_try_init(|| self.connect(&self.loaded)).await
    }

    /// Connects another engine, with these settings in addition to those of the command line, over which they
    /// take precedence.
    ///
    /// # Errors
    /// When a setting is faulty, or the engine cannot be connected.
    pub async fn lockgate_with(&self, overrides: &[(&str, String)]) -> anyhow::Result<Lockgate> {
        let mut sources = self.loaded.sources.clone();
        sources.overrides.extend(overrides.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.connect(&lockgate::config::load(&sources)?).await
    }

    async fn connect(&self, loaded: &Loaded) -> anyhow::Result<Lockgate> {
        let lockgate = lockgate::connect(loaded, self.program.tables()).await?;
        lockgate.ensure_pools(self.program.pools(loaded)).await?;
        Ok(lockgate)
    }
}

impl fmt::Debug for CommandContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext").field("program", &self.program.about().name).finish_non_exhaustive()
    }
}
