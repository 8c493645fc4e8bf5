//! What a command is handed: the program, its settings, the terminal, and the engine, connected at first use.
//!
//! It must never connect for a command that does not ask for the engine.

use std::fmt;
use std::sync::Arc;

use lockgate::{Loaded, Lockgate};
use tokio::sync::OnceCell;

use crate::program::Program;
use crate::terminal::Terminal;

/// What a command is handed.
pub struct Session {
    program: Arc<dyn Program>,
    terminal: Terminal,
    loaded: Loaded,
    lockgate: OnceCell<Lockgate>,
}

impl Session {
    pub(crate) fn new(program: Arc<dyn Program>, terminal: Terminal, loaded: Loaded) -> Self {
        Self { program, terminal, loaded, lockgate: OnceCell::new() }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &dyn Program {
        self.program.as_ref()
    }

    /// The terminal.
    #[must_use]
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// The settings.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The engine, connected at the first call.
    ///
    /// # Errors
    /// When it cannot be connected.
    pub async fn lockgate(&self) -> anyhow::Result<&Lockgate> {
        self.lockgate.get_or_try_init(|| self.connect(&self.loaded)).await
    }

    /// Another engine: with these settings on top of the session's, as flags would set them.
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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("program", &self.program.about().name).finish_non_exhaustive()
    }
}
