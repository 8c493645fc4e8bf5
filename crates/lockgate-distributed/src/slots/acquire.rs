//! Asking for slots. It must never answer for the store: an answer that did not come is not a refusal.

use std::sync::PoisonError;
use std::time::Duration;

use lockgate_core::admission::RETRY_TOO_HEAVY;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest};
use lockgate_core::pool::merged;
use redis::Value;

use super::call::{Args, Caller};
use super::link::Link;
use super::reply::{self, Row, senseless};
use super::request::{put, within_reason};
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
    let mut args = Args::about(link.remember(&requests));
    args.text(&caller.process);
    for request in &requests {
        for need in &request.needs {
            link.may_drain(&need.pool, within_reason(request.drain_for));
        }
        args.show(request.lease)
            .text(request.tenant.as_str())
            .show(within_reason(request.drain_for))
            .show(within_reason(request.max_wait));
        put(DOING, request, &mut args)?;
    }
    let answers = link.call(Script::Acquire, Some(caller.session), &args).await?;
    let answers = reply::list(DOING, answers)?;
    if answers.len() != requests.len() {
        return Err(senseless(DOING, "not one answer a request"));
    }
    requests.into_iter().zip(answers).map(|(request, answer)| admission(request, answer)).collect()
}

/// The refusal that a script returned, `word` being its first part; `None`: it is no refusal.
pub(super) fn refusal(word: &str, row: &mut Row, max_wait: Duration) -> Result<Option<Refusal>, EngineError> {
    Ok(Some(match word {
        "b" => Refusal::TooBusy { wait: row.time()?, max_wait, retry_after: row.time()? },
        "t" => Refusal::TooHeavy {
            pool: row.parsed()?,
            weight: row.number()?,
            now: row.number()?,
            most: row.number()?,
            retry_after: RETRY_TOO_HEAVY,
        },
        "n" => Refusal::Never { pool: row.parsed()?, weight: row.number()?, most: row.number()? },
        "u" => Refusal::UnknownPool { pool: row.parsed()? },
        _ => return Ok(None),
    }))
}

fn admission(request: SlotRequest, answer: Value) -> Result<Admission, EngineError> {
    if matches!(answer, Value::Int(_)) {
        return Ok(Admission::Granted(Lease { request, fence: reply::fence(DOING, answer)? }));
    }
    let mut row = reply::row(DOING, answer)?;
    Ok(match row.text()?.as_str() {
        "g" => Admission::Granted(row.lease()?),
        "q" => Admission::Queued,
        "h" => Admission::Refused(Refusal::Held { retry_after: row.time()? }),
        "d" => Admission::Refused(Refusal::Draining { retry_after: row.time()? }),
        other => match refusal(other, &mut row, request.max_wait)? {
            Some(refusal) => Admission::Refused(refusal),
            None => return Err(senseless(DOING, other)),
        },
    })
}

impl Link {
    /// The pool that a call with these requests is likely to be about; the next releases are, too.
    fn remember<'r>(&self, requests: &'r [SlotRequest]) -> &'r str {
        let needs = requests.first().map(|request| request.needs.as_slice());
        let pool = needs.and_then(<[_]>::first).map_or("", |need| need.pool.as_str());
        let mut likely = self.likely.lock().unwrap_or_else(PoisonError::into_inner);
        if likely.as_str() != pool {
            pool.clone_into(&mut likely);
        }
        pool
    }
}
