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
