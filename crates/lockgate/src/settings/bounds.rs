//! Bounds of settings, worded so that the message names the remedy. For `#[garde(custom(..))]`.
//!
//! They must never depend on another section.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::settings::SlotSettings;

/// A number from `least` to `most`.
pub fn between(least: u32, most: u32) -> impl Fn(&u32, &()) -> garde::Result {
    move |value, ()| check((least..=most).contains(value), || format!("must be {least} to {most}"))
}

/// A number up to `most`.
pub fn at_most(most: u32) -> impl Fn(&u32, &()) -> garde::Result {
    move |value, ()| check(*value <= most, || format!("must be at most {most}"))
}

/// A number from `least`, or nothing.
pub fn some_at_least(least: u32) -> impl Fn(&Option<u32>, &()) -> garde::Result {
    move |value, ()| {
        check(value.is_none_or(|v| v >= least), || {
            format!("must be at least {least}; leave it out for no cap")
        })
    }
}

/// A duration from `least` to `most`.
pub fn within(least: Duration, most: Duration) -> impl Fn(&Duration, &()) -> garde::Result {
    move |value, ()| {
        let [low, high] = [least, most].map(humantime::format_duration);
        check((least..=most).contains(value), || format!("must be {low} to {high}"))
    }
}

/// A duration from `least` to `most`, or `None`, which means forever.
pub fn within_or_forever(
    least: Duration,
    most: Duration,
) -> impl Fn(&Option<Duration>, &()) -> garde::Result {
    move |value, ()| value.map_or(Ok(()), |value| within(least, most)(&value, &()))
}

/// A path of a file.
///
/// # Errors
/// When it is empty, or an address.
pub fn not_empty(path: &Path, (): &()) -> garde::Result {
    check(!path.to_string_lossy().contains("://"), || {
        String::from("must be the path of a file, not an address; name a file, such as \"lockgate.db\"")
    })?;
    check(!path.as_os_str().is_empty(), || {
        String::from("must not be empty; name a file, such as \"lockgate.db\"")
    })
}

/// A text that says something.
///
/// # Errors
/// When it is blank.
pub fn not_blank(text: &str, (): &()) -> garde::Result {
    check(!text.trim().is_empty(), || String::from("must not be empty; give a level, such as \"info\""))
}

/// An address with a port, or nothing.
///
/// # Errors
/// When it is neither.
pub fn address_or_nothing(text: &str, (): &()) -> garde::Result {
    check(text.is_empty() || text.parse::<SocketAddr>().is_ok(), || {
        String::from("must be an address with a port, such as \"127.0.0.1:9464\", or empty")
    })
}

/// Times of leases that keep the promise that they are made for.
///
/// # Errors
/// When they do not fit together.
pub fn in_order(slots: &SlotSettings, (): &()) -> garde::Result {
    slots.timing().check().map(drop).map_err(garde::Error::new)
}

pub(super) fn check(good: bool, problem: impl FnOnce() -> String) -> garde::Result {
    if good { Ok(()) } else { Err(garde::Error::new(problem())) }
}
