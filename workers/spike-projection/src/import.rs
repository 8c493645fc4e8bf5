//! Import of organizations and usage from CSV files or JSON lines.
//!
//! A file is read several times. The first pass checks every record and writes nothing. Later passes import
//! the file in transactions of some thousand records. So a bad record never leaves a file half imported.
//! Importing a file twice changes nothing, so an interrupted import is completed by running it again.

mod clickhouse;
mod encoding;
pub mod organizations;
mod records;
mod spool;
pub mod usage;

pub use clickhouse::ClickHouseTarget;
pub use encoding::text;
pub use records::{Column, Record, Records, UnknownColumns};
pub use spool::Spool;
