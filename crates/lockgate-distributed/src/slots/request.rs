//! Encodes a request for the scripts. They treat the request itself as opaque, and get what they need as
//! extra arguments.

use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::Need;
use lockgate_core::time::millis;

use super::call::Args;

/// Upper bound of times in ms: longer than anything lasts, and small enough for Lua to add several of them
/// exactly.
const FOREVER: i64 = 1_000_000_000_000;

pub(super) fn capped_millis(time: Duration) -> i64 {
    millis(time).min(FOREVER)
}

/// Appends the encoded request and its needs, sorted by pool.
pub(super) fn push_request(
    doing: &'static str,
    request: &SlotRequest,
    args: &mut Args,
) -> Result<(), EngineError> {
    let text = serde_json::to_string(request)
        .map_err(|error| EngineError::Failed { doing: doing.to_owned(), source: Box::new(error) })?;
    let mut needs: Vec<&Need> = request.needs.iter().collect();
    needs.sort();
    args.text(&text).display(needs.len());
    for need in needs {
        args.text(need.pool.as_str()).display(need.weight);
    }
    Ok(())
}
