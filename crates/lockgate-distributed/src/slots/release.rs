//! The end of holds and waits. It must never free what it does not name by its fence.

use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Release, Released};

use super::call::Args;
use super::link::Link;
use super::reply::{self, Row, senseless};
use super::request::within_reason;
use super::script::Script;

const DOING: &str = "releasing slots";

pub(super) async fn release(
    link: &Link,
    session: SessionId,
    releases: &[Release],
) -> Result<Vec<Released>, EngineError> {
    let mut args = Args::default();
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
        reply::rows(DOING, answers)?.into_iter().map(released).collect::<Result<_, _>>()?;
    if answers.len() == releases.len() {
        Ok(answers)
    } else {
        Err(senseless(DOING, "not one answer a release"))
    }
}

fn released(mut row: Row) -> Result<Released, EngineError> {
    Ok(match row.text()?.as_str() {
        "d" => Released::Done,
        "n" => Released::NotHeld,
        "g" => Released::WasGranted(row.lease()?),
        other => return Err(senseless(DOING, other)),
    })
}
