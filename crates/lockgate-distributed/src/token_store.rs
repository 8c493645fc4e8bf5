//! The token store in Redis: rate limits that all processes of a namespace share.
//!
//! Each call is one Lua script, and the script takes every decision. A process remembers only the limit's
//! clock in its last reply, and when it sent that call: from these the store distinguishes a leap of its own
//! clock from time that passed.

mod clocks;
mod script;
mod units;

use std::sync::Arc;
use std::time::Duration;

use lockgate_core::error::EngineError;
use lockgate_limits::{
    AcquireRequest, Acquired, Changed, LimitChange, LimitStatus, Quota, Rate, SampleReport, Samples,
    StoreFuture, TokenBatchId, TokenStore,
};
use redis::Value;

use crate::slots::reply::{self, Row, unexpected};
use crate::slots::{Link, RedisSlots};
use clocks::ClockReadings;
use script::Script;
use units::Units;

/// The longest time that a token batch may last. A store that lost its state waits longer than this, see
/// `RECOVERY` in `lua/tokens/prologue.lua`.
const LONGEST: Duration = Duration::from_secs(10);

/// The rate limits of one namespace. They share the connection of the slots.
pub struct RedisTokenStore {
    link: Arc<Link>,
    tag: String,
    clocks: ClockReadings,
}

impl std::fmt::Debug for RedisTokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisTokenStore").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl RedisTokenStore {
    /// Creates the token store of a namespace, on the connection of its slots.
    ///
    /// A store that was never used looks like one that lost its state. It hands out nothing for 11 s, unless
    /// it is [initialized](Self::initialize).
    #[must_use]
    pub fn sharing_connection(slots: &RedisSlots, namespace: &str) -> Self {
        Self {
            link: slots.link(),
            tag: format!("{{lockgate:{namespace}}}"),
            clocks: ClockReadings::default(),
        }
    }

    /// Initializes a namespace in which nobody can have spent anything yet. Returns whether the store was
    /// empty.
    ///
    /// # Errors
    /// When the store fails. The limits then start with a recovery, which is always safe.
    pub async fn initialize(&self) -> Result<bool, EngineError> {
        let mut row = self.call(Script::Initialize, "", Vec::new()).await?;
        Ok(row.integer()? == 1)
    }

    async fn call(&self, script: Script, limit: &str, own: Vec<String>) -> Result<Row, EngineError> {
        let keys = if limit.is_empty() {
            vec![format!("{}:rates", self.tag)]
        } else {
            let of_limit = |what: &str| format!("{}:{what}:{limit}", self.tag);
            vec![format!("{}:rates", self.tag), of_limit("ends"), of_limit("tokens")]
        };
        let (sent, confirmed) = self.clocks.confirmed(limit);
        let mut args = vec![limit.to_owned(), confirmed.clock.to_string(), confirmed.elapsed.to_string()];
        args.extend(own);
        let answer = self.link.evaluate(script.doing(), script.text(), &keys, &args).await?;
        let mut parts = reply::row(script.doing(), answer)?;
        self.clocks.record(limit, sent, parts.integer()?);
        reply::row(script.doing(), parts.value())
    }

    async fn try_acquire(&self, limit: &str, request: AcquireRequest) -> Result<Acquired, EngineError> {
        if request.lifetime > LONGEST {
            let reason = format!("a token batch lasts {LONGEST:?} at most; request a shorter one");
            return Err(EngineError::Conflict { reason });
        }
        let mut own = quota(Some(request.quota));
        own.extend([request.min_tokens.to_string(), request.max_tokens.max(request.min_tokens).to_string()]);
        own.push(request.lifetime.as_micros().to_string());
        let (batch, unspent) =
            request.previous.map_or((String::new(), 0), |(id, unspent)| (id.0.to_string(), unspent));
        own.extend([batch, unspent.to_string(), u8::from(request.is_configured).to_string()]);
        let mut row = self.call(Script::Acquire, limit, own).await?;
        match row.integer()? {
            -3 => Ok(Acquired::NoLimit),
            -2 => Ok(Acquired::Insufficient { retry_after: None }),
            -1 => Ok(Acquired::Insufficient { retry_after: Some(Duration::from_micros(row.number()?)) }),
            id => {
                let id = u64::try_from(id)
                    .map_err(|_| unexpected(Script::Acquire.doing(), "a negative batch id"))?;
                let (tokens, quota) = (row.number()?, quota_of(&mut row)?);
                let quota = quota
                    .ok_or_else(|| unexpected(Script::Acquire.doing(), "a token batch without a rate"))?;
                Ok(Acquired::Batch { id: TokenBatchId(id), tokens, quota })
            }
        }
    }

    async fn try_give_back(&self, limit: &str, batch: TokenBatchId, unspent: u32) -> Result<(), EngineError> {
        self.call(Script::GiveBack, limit, vec![batch.0.to_string(), unspent.to_string()]).await.map(drop)
    }

    async fn try_list(&self) -> Result<Vec<LimitStatus>, EngineError> {
        let mut rows = self.call(Script::List, "", Vec::new()).await?;
        let mut limits = Vec::new();
        while rows.is_more() {
            limits.push(status(reply::row(Script::List.doing(), rows.value())?)?);
        }
        limits.sort_by(|one: &LimitStatus, other| one.name.cmp(&other.name));
        Ok(limits)
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

    fn give_back<'a>(&'a self, limit: &'a str, batch: TokenBatchId, unspent: u32) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.try_give_back(limit, batch, unspent).await?) })
    }

    fn list(&self) -> StoreFuture<'_, Vec<LimitStatus>> {
        Box::pin(async move { Ok(self.try_list().await?) })
    }

    fn set<'a>(&'a self, limit: &'a str, change: LimitChange) -> StoreFuture<'a, Changed> {
        Box::pin(async move { Ok(self.try_set(limit, change).await?) })
    }

    fn report<'a>(&'a self, limit: &'a str, report: SampleReport) -> StoreFuture<'a, Changed> {
        Box::pin(async move { Ok(self.try_report(limit, report).await?) })
    }
}

/// Encodes a quota for the scripts: units for a microsecond, units for a token, burst, rate as text. Without
/// a quota the text is empty, and the numbers are those of an unused bucket.
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
    let bad = |error: lockgate_limits::QuotaError| unexpected("reading a limit", &error.to_string());
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
