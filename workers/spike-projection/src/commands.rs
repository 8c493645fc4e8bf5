//! The program's own commands, besides those that every worker has.

mod gate;
mod orgs;
mod plot;
mod projections;
mod stand_in;
mod usage;

pub use orgs::Orgs;
pub use projections::Projections;
pub use stand_in::StandIn;
pub use usage::Usage;
