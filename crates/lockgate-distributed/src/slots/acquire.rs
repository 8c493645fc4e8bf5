//! Asking for slots. It must never answer for the store: an answer that did not come is not a refusal.

use std::collections::BTreeSet;

use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Refusal, SlotRequest};

use super::call::{Args, Caller};
use super::link::Link;
use super::reply::{self, Row, senseless};
use super::request::{merged, put, within_reason};
use super::script::Script;

const DOING: &str = "asking for slots";

pub(super) async fn acquire(
    link: &Link,
    caller: &Caller,
    mut requests: Vec<SlotRequest>,
) -> Result<Vec<Admission>, EngineError> {
    for request in &mut requests {
        request.needs = merged(std::mem::take(&mut request.needs));
    }
    let pools: BTreeSet<&str> =
        requests.iter().flat_map(|request| &request.needs).map(|need| need.pool.as_str()).collect();
    let mut args = Args::default();
    args.text(&caller.process).show(pools.len());
    for pool in pools {
        args.show(format_args!("p\u{1}{pool}"));
    }
    for request in &requests {
        args.show(request.lease)
            .text(request.tenant.as_str())
            .show(within_reason(request.drain_for))
            .show(within_reason(request.max_wait));
        put(DOING, request, &mut args)?;
    }
    let answers = link.call(Script::Acquire, Some(caller.session), &args).await?;
    let answers: Vec<Admission> =
        reply::rows(DOING, answers)?.into_iter().map(admission).collect::<Result<_, _>>()?;
    if answers.len() == requests.len() {
        Ok(answers)
    } else {
        Err(senseless(DOING, "not one answer a request"))
    }
}

fn admission(mut row: Row) -> Result<Admission, EngineError> {
    Ok(match row.text()?.as_str() {
        "g" => Admission::Granted(row.lease()?),
        "q" => Admission::Queued,
        "h" => Admission::Refused(Refusal::Held { retry_after: row.time()? }),
        "d" => Admission::Refused(Refusal::Draining { retry_after: row.time()? }),
        "b" => Admission::Refused(Refusal::TooBusy { retry_after: row.time()? }),
        "n" => Admission::Refused(Refusal::Never {
            pool: row.parsed()?,
            weight: row.number()?,
            most: row.number()?,
        }),
        "u" => Admission::Refused(Refusal::UnknownPool { pool: row.parsed()? }),
        other => return Err(senseless(DOING, other)),
    })
}
