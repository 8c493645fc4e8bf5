//! Ends holds and waits. A hold is identified by its fence, so a stale release ends nothing.

use std::sync::PoisonError;
use std::time::Duration;

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released};
use redis::Value;

use super::acquire::refusal;
use super::call::Args;
use super::link::Link;
use super::reply::{self, unexpected};
use super::request::capped_millis;
use super::script::Script;

const DOING: &str = "releasing slots";

pub(super) async fn release(
    link: &Link,
    session: SessionId,
    releases: &[Release],
) -> Result<Vec<Released>, EngineError> {
    let likely = link.likely.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut args = Args::likely_about(&likely);
    for release in releases {
        match *release {
            Release::Free { lease, fence } => args.text("f").display(lease).display(fence).display(0),
            Release::Drain { lease, fence, longest } => {
                args.text("d").display(lease).display(fence).display(capped_millis(longest))
            }
            Release::Leave { lease } => args.text("l").display(lease).display(0).display(0),
        };
    }
    let answers = link.call(Script::Release, Some(session), &args).await?;
    let answers: Vec<Released> =
        reply::list(DOING, answers)?.into_iter().map(released).collect::<Result<_, _>>()?;
    if answers.len() == releases.len() {
        Ok(answers)
    } else {
        Err(unexpected(DOING, "the number of answers differs from the number of releases"))
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
        // The longest wait plays no part in this refusal.
        other => match refusal(other, &mut row, Duration::ZERO)? {
            Some(refusal) => Released::WasStranded(refusal),
            None => return Err(unexpected(DOING, other)),
        },
    })
}
