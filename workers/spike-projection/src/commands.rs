//! The commands of this program, in addition to those that every Lockgate worker has.

mod fake_backend;
mod orgs;
mod plot;
mod projections;
mod usage;

pub use fake_backend::FakeBackend;
pub use orgs::Orgs;
pub use projections::Projections;
pub use usage::Usage;
