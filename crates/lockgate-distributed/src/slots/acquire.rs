//! Requests slots. A reply that did not arrive is an error, not a refusal.

use std::sync::PoisonError;
use std::time::Duration;

use lockgate_core::admission::RETRY_TOO_HEAVY;
use lockgate_core::error::EngineError;
use lockgate_core::lease::{Admission, Lease, Refusal, SlotRequest};
use lockgate_core::pool::merged;
use redis::Value;

use super::call::{Args, Caller};
use super::link::Link;
use super::reply::{self, Row, unexpected};
use super::request::{capped_millis, push_request};
use super::script::Script;

const DOING: &str = "requesting slots";

pub(super) async fn acquire(
    link: &Link,
    caller: &Caller,
    mut requests: Vec<SlotRequest>,
) -> Result<Vec<Admission>, EngineError> {
    for request in &mut requests {
        request.needs = merged(std::mem::take(&mut request.needs));
    }
    let mut args = Args::likely_about(link.remember(&requests));
    args.text(&caller.process);
    for request in &requests {
        for need in &request.needs {
            link.note_drain(&need.pool, capped_millis(request.drain_for));
        }
        args.display(request.lease)
            .text(request.tenant.as_str())
            .display(capped_millis(request.drain_for))
            .display(capped_millis(request.max_wait));
        push_request(DOING, request, &mut args)?;
    }
    let answers = link.call(Script::Acquire, Some(caller.session), &args).await?;
    let answers = reply::list(DOING, answers)?;
    if answers.len() != requests.len() {
        return Err(unexpected(DOING, "the number of answers differs from the number of requests"));
    }
    requests.into_iter().zip(answers).map(|(request, answer)| admission(request, answer)).collect()
}

/// Decodes the refusal of a script. `word` is its first part. Returns `None` when the answer is not a
/// refusal.
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
            None => return Err(unexpected(DOING, other)),
        },
    })
}

impl Link {
    /// Returns the pool that a call with these requests is probably about, and remembers it for the next
    /// releases.
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
