//! Files of organizations and of usage, CSV or JSON lines, read line by line: a file of any length needs little memory.
//!
//! A file is read twice. First every line is checked and nothing is written; then it is imported, a chunk of lines a
//! transaction, each line written so that twice is once. So a bad line leaves nothing half imported, and an import that
//! was cut off is made whole by running it again.

mod clickhouse;
mod lines;
pub mod organizations;
mod spool;
pub mod usage;

pub use clickhouse::ClickHouseTarget;
pub use lines::{Column, Line, Lines, Strangers};
pub use spool::Spool;
