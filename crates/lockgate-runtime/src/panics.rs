//! Extracts the message of a caught panic.

use std::any::Any;

use lockgate_core::bounds;

/// Returns the panic's message, truncated to the length of stored texts.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    bounds::text(text.unwrap_or_else(|| String::from("without a message")))
}
