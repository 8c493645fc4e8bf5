//! The chunks in Redis: limits of rate that all processes of a namespace share.
//!
//! It must never decide here what a script decides there: each call is one script. What a process remembers
//! is the limit's clock in its last answer, and since when: by that the store tells a leap of its clock from
//! time that passed.

mod script;
mod seen;
mod units;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_limits::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitStatus, Quota, Rate, SampleReport, Samples,
    StoreFuture, TokenBatchId, TokenStore,
};
use redis::Value;

use crate::slots::reply::{self, Row, senseless};
use crate::slots::{Link, RedisSlots};
use script::Script;
use seen::Seen;
use units::Units;

/// The longest that a chunk may last: a store that lost its state waits for longer than that.
const LONGEST: Duration = Duration::from_secs(10);

/// The chunks of one namespace. They share the slots' connection.
pub struct RedisTokenStore {
    link: Arc<Link>,
    tag: String,
    seen: Seen,
}

impl std::fmt::Debug for RedisTokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisChunks").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl RedisTokenStore {
    /// The chunks beside these slots. As with slots, a store that was never used, like one that lost its
    /// state, gives nothing for a while, unless it is [founded](Self::found).
    #[must_use]
    pub fn beside(slots: &RedisSlots, namespace: &str) -> Self {
        Self { link: slots.link(), tag: format!("{{lockgate:{namespace}}}"), seen: Seen::default() }
    }

    /// Says that nobody can have spent anything in this namespace yet. Answers whether it was without state.
    ///
    /// # Errors
    /// When the store fails. It learns then, which is always safe.
    pub async fn found(&self) -> Result<bool, EngineError> {
        let mut row = self.call(Script::Found, "", Vec::new()).await?;
        Ok(row.integer()? == 1)
    }

    async fn call(&self, script: Script, limit: &str, own: Vec<String>) -> Result<Row, EngineError> {
        let keys = if limit.is_empty() {
            vec![format!("{}:rates", self.tag)]
        } else {
            let of_limit = |what: &str| format!("{}:{what}:{limit}", self.tag);
            vec![format!("{}:rates", self.tag), of_limit("ends"), of_limit("tokens")]
        };
        let (asked, borne_out) = self.seen.before(limit);
        let mut args = vec![limit.to_owned(), borne_out.clock.to_string(), borne_out.elapsed.to_string()];
        args.extend(own);
        let said = self.link.evaluate(script.doing(), script.text(), &keys, &args).await?;
        let mut parts = reply::row(script.doing(), said)?;
        self.seen.answered(limit, asked, parts.integer()?);
        reply::row(script.doing(), parts.value())
    }

    async fn try_acquire(&self, limit: &str, request: AcquireRequest) -> Result<Acquired, EngineError> {
        if request.lifetime > LONGEST {
            let reason = format!("a chunk lasts {LONGEST:?} at most; ask for a shorter one");
            return Err(EngineError::Conflict { reason });
        }
        let mut own = quota(Some(request.quota));
        own.extend([request.min_tokens.to_string(), request.max_tokens.max(request.min_tokens).to_string()]);
        own.push(request.lifetime.as_micros().to_string());
        let (chunk, unspent) =
            request.previous.map_or((String::new(), 0), |(id, unspent)| (id.0.to_string(), unspent));
        own.extend([chunk, unspent.to_string(), u8::from(request.is_configured).to_string()]);
        let mut row = self.call(Script::AcquireRequest, limit, own).await?;
        match row.integer()? {
            -3 => Ok(Acquired::NoLimit),
            -2 => Ok(Acquired::Insufficient { retry_after: None }),
            -1 => Ok(Acquired::Insufficient { retry_after: Some(Duration::from_micros(row.number()?)) }),
            id => {
                let id = u64::try_from(id)
                    .map_err(|_| senseless(Script::AcquireRequest.doing(), "a chunk below zero"))?;
                let (tokens, quota) = (row.number()?, quota_of(&mut row)?);
                let quota =
                    quota.ok_or_else(|| senseless(Script::AcquireRequest.doing(), "a chunk of no rate"))?;
                Ok(Acquired::Batch { id: TokenBatchId(id), tokens, quota })
            }
        }
    }

    async fn try_give_back(&self, limit: &str, chunk: TokenBatchId, unspent: u32) -> Result<(), EngineError> {
        self.call(Script::GiveBack, limit, vec![chunk.0.to_string(), unspent.to_string()]).await.map(drop)
    }

    async fn try_look(&self) -> Result<Vec<LimitStatus>, EngineError> {
        let mut rows = self.call(Script::Look, "", Vec::new()).await?;
        let mut found = Vec::new();
        while rows.is_more() {
            found.push(status(reply::row(Script::Look.doing(), rows.value())?)?);
        }
        found.sort_by(|one: &LimitStatus, other| one.name.cmp(&other.name));
        Ok(found)
    }

    async fn try_set(&self, limit: &str, change: LimitChange) -> Result<Changed, EngineError> {
        let mut own = quota(change.quota);
        own.push(change.version.map_or_else(|| String::from("-1"), |version| version.to_string()));
        own.push(u8::from(change.note.is_some()).to_string());
        own.push(change.note.unwrap_or_default());
        changed(self.call(Script::Set, limit, own).await?)
    }

    async fn try_report(&self, limit: &str, report: SampleReport) -> Result<Changed, EngineError> {
        let SampleReport { version, samples: Samples { ended, failed, slow }, window } = report;
        let own = [version, ended, failed, slow, window].map(|number| number.to_string());
        changed(self.call(Script::Report, limit, own.to_vec()).await?)
    }
}

impl TokenStore for RedisTokenStore {
    fn acquire<'a>(&'a self, limit: &'a str, request: AcquireRequest) -> StoreFuture<'a, Acquired> {
        Box::pin(async move { Ok(self.try_acquire(limit, request).await?) })
    }

    fn give_back<'a>(&'a self, limit: &'a str, chunk: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.try_give_back(limit, chunk, unspent).await?) })
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move { Ok(self.try_look().await?) })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        Box::pin(async move { Ok(self.try_set(limit, change).await?) })
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        Box::pin(async move { Ok(self.try_report(limit, report).await?) })
    }
}

/// A quota as scripts take it: units for a microsecond, units for a token, burst, rate as text. Without one
/// the text is empty, and the numbers are those of an unused bucket.
fn quota(quota: Option<Quota>) -> Vec<String> {
    let Some(quota) = quota else { return ["1", "1000000", "1", ""].map(str::to_owned).to_vec() };
    let Units { per_micro, per_token } = Units::of(quota);
    vec![per_micro.to_string(), per_token.to_string(), quota.burst().to_string(), quota.rate().to_string()]
}

fn quota_of(row: &mut Row) -> Result<Option<Quota>, EngineError> {
    let (rate, burst): (String, u32) = (row.text()?, row.number()?);
    if rate.is_empty() {
        return Ok(None);
    }
    let bad = |error: lockgate_limits::QuotaError| senseless("reading a limit", &error.to_string());
    let rate: Rate = rate.parse().map_err(bad)?;
    Quota::new(rate, burst).map(Some).map_err(bad)
}

fn changed(mut row: Row) -> Result<Changed, EngineError> {
    match row.peek() {
        Some(Value::Int(_)) => Ok(Changed::Conflict(row.number()?)),
        _ => Ok(Changed::Applied(status(row)?)),
    }
}

fn status(mut row: Row) -> Result<LimitStatus, EngineError> {
    Ok(LimitStatus {
        name: row.text()?,
        quota: quota_of(&mut row)?,
        version: row.number()?,
        tokens: row.number()?,
        outstanding: row.number()?,
        note: row.text()?,
        samples: Samples { ended: row.number()?, failed: row.number()?, slow: row.number()? },
        age: Duration::from_micros(row.number()?),
    })
}
