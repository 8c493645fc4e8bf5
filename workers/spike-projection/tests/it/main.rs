//! The program's own commands, through its binary.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and so may what it is made of"
)]

mod audits;
mod commands;
mod folder;
mod imports;
