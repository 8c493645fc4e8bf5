//! The end of holds and waits. It must never free what it does not name by its fence.

use std::sync::PoisonError;
use std::time::Duration;

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released};
use redis::Value;

use super::acquire::refusal;
use super::call::Args;
use super::link::Link;
use super::reply::{self, senseless};
use super::request::within_reason;
use super::script::Script;

const DOING: &str = "releasing slots";

pub(super) async fn release(
    link: &Link,
    session: SessionId,
    releases: &[Release],
) -> Result<Vec<Released>, EngineError> {
    let likely = link.likely.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut args = Args::about(&likely);
    for release in releases {
        match *release {
            Release::Free { lease, fence } => args.text("f").show(lease).show(fence).show(0),
            Release::Drain { lease, fence, longest } => {
                args.text("d").show(lease).show(fence).show(within_reason(longest))
            }
            Release::Leave { lease } => args.text("l").show(lease).show(0).show(0),
        };
    }
    let answers = link.call(Script::Release, Some(session), &args).await?;
    let answers: Vec<Released> =
        reply::list(DOING, answers)?.into_iter().map(released).collect::<Result<_, _>>()?;
    if answers.len() == releases.len() {
        Ok(answers)
    } else {
        Err(senseless(DOING, "not one answer a release"))
    }
}

fn released(answer: Value) -> Result<Released, EngineError> {
    match answer {
        Value::Int(1) => return Ok(Released::Done),
        Value::Int(0) => return Ok(Released::NotHeld),
        _ => {}
    }
    let mut row = reply::row(DOING, answer)?;
    Ok(match row.text()?.as_str() {
        "g" => Released::WasGranted(row.lease()?),
        // A waiter's longest wait is no reason then.
        other => match refusal(other, &mut row, Duration::ZERO)? {
            Some(refusal) => Released::WasStranded(refusal),
            None => return Err(senseless(DOING, other)),
        },
    })
}
