//! What system tests share: the program under test, private folders and servers, processes that end with their
//! test.
//!
//! Only processes that a test started are ever signalled, by their pid.

pub mod program;
pub mod proxy;
pub mod servers;
pub mod wait;

pub use anyhow::{Context, bail, ensure};

/// What a test returns.
pub type Result<T = ()> = anyhow::Result<T>;

/// What a test does for each change, or, with `LOCKGATE_TEST_NIGHTLY=1`, for each night.
pub fn usual_or_nightly<T>(usual: T, nightly: T) -> T {
    if std::env::var_os("LOCKGATE_TEST_NIGHTLY").is_some() { nightly } else { usual }
}
