//! A request as scripts take it. They must never see into it: what they need is told beside it.

use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_core::lease::SlotRequest;
use lockgate_core::pool::Need;
use lockgate_core::time::millis;

use super::call::Args;

/// Longer than anything lasts, in milliseconds, and small enough for sums of it to be exact in Lua.
const FOREVER: i64 = 1_000_000_000_000;

pub(super) fn within_reason(time: Duration) -> i64 {
    millis(time).min(FOREVER)
}

/// The request itself, and what it takes.
pub(super) fn put(doing: &'static str, request: &SlotRequest, args: &mut Args) -> Result<(), EngineError> {
    let text = serde_json::to_string(request)
        .map_err(|error| EngineError::Failed { doing: doing.to_owned(), source: Box::new(error) })?;
    let mut needs: Vec<&Need> = request.needs.iter().collect();
    needs.sort();
    args.text(&text).show(needs.len());
    for need in needs {
        args.text(need.pool.as_str()).show(need.weight);
    }
    Ok(())
}
