//! The three ports together: what every worker, dispatcher and command is handed.

use std::fmt;
use std::sync::Arc;

use crate::broker::Broker;
use crate::ledger::Ledger;
use crate::slots::Slots;

/// An engine. Cheap to clone; the same for all that run on it.
#[derive(Clone)]
pub struct Engine {
    /// Its name, as in the config: `embedded`, `distributed`, `memory`.
    pub name: &'static str,
    /// The truth about runs and jobs.
    pub ledger: Arc<dyn Ledger>,
    /// The way of messages to workers.
    pub broker: Arc<dyn Broker>,
    /// The slots of the pools.
    pub slots: Arc<dyn Slots>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("name", &self.name).finish_non_exhaustive()
    }
}
