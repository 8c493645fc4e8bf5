//! Support for system tests: the program under test, scratch folders and private servers, and processes that
//! end with their test.
//!
//! Only processes that a test started are signalled, by their pid.

pub mod program;
pub mod proxy;
pub mod servers;
pub mod wait;

pub use anyhow::{Context, bail, ensure};

/// The result of a test.
pub type Result<T = ()> = anyhow::Result<T>;

/// Selects between the values for every change and, with `LOCKGATE_TEST_NIGHTLY=1`, for nightly tests.
pub fn usual_or_nightly<T>(usual: T, nightly: T) -> T {
    if std::env::var_os("LOCKGATE_TEST_NIGHTLY").is_some() { nightly } else { usual }
}
