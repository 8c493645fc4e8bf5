//! Tests of the program through its binary, and the forecast check.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests and their fixtures may panic")]

mod audits;
mod commands;
mod folder;
mod forecast;
mod imports;
