//! Files of organizations and of usage, CSV or JSON lines, read record by record.
//!
//! A file is read several times. First every record is checked and nothing is written; then it is imported in transactions of
//! some thousand records. So a bad record leaves nothing half imported. Importing a file twice changes nothing, so an import
//! that was interrupted is completed by running it again.

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
