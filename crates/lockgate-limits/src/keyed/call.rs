//! One call of a key: out of the hand of its ledger, from the ledger itself, or from the limiter of a hot key.
//!
//! It must never keep a part locked for longer than a decision.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tokio::time::Instant;

use super::KeyedLimiter;
use super::hot::ONE_OF;
use super::part::{Entry, Part};
use super::plain::Plain;
use crate::clock::Reading;
use crate::denied::{DenialReason, Denied};
use crate::line::{Line, Wait};
use crate::place::place;
use crate::sharded::ShardedLimiter;
use crate::sync::lock;

impl<K: Hash + Eq + Clone, S: BuildHasher> KeyedLimiter<K, S> {
    pub(super) fn take(&self, key: &K, tokens: u32, now: impl Fn() -> Instant) -> Result<(), Denied> {
        let hash = self.hasher.hash_one(key);
        if !self.hot.is_empty()
            && let Some(result) = self.take_hot(hash, key, tokens, &now)
        {
            return result;
        }
        loop {
            let (found, sampled) = self.take_from_part(hash, key, tokens, &now);
            if sampled {
                self.sample(hash, key, &now);
            }
            match found {
                Found::Admitted => return Ok(()),
                Found::Denied(denied) => return Err(denied),
                Found::Hot(limiter) => {
                    if let Some(result) = limiter.take_unless_closed(tokens, &now) {
                        return result;
                    }
                    // Closed meanwhile: its ledger is in the table again.
                }
            }
        }
    }

    /// What a hot key's limiter says, where this place knows it.
    #[inline(never)]
    fn take_hot(
        &self,
        hash: u64,
        key: &K,
        tokens: u32,
        now: &impl Fn() -> Instant,
    ) -> Option<Result<(), Denied>> {
        let call = |limiter: &ShardedLimiter| limiter.take_unless_closed(tokens, now);
        let (result, sampled) = self.hot.with(place(), (hash, key), call)?;
        if sampled && result.is_some() {
            self.sample(hash, key, now);
        }
        result
    }

    #[inline]
    fn take_from_part(&self, hash: u64, key: &K, tokens: u32, now: &impl Fn() -> Instant) -> (Found, bool) {
        let Some(part) = self.part(hash) else {
            return (Found::Denied(Denied::whenever(DenialReason::TooManyKeys)), false);
        };
        let mut part = lock(part);
        part.calls += 1;
        let sampled = part.calls.is_multiple_of(ONE_OF);
        let line = part.line;
        let result = match part.find(hash, key) {
            Some(Entry::Plain(plain)) => {
                if plain.spend(tokens) {
                    Ok(())
                } else {
                    self.draw_plain(plain, line, tokens, now())
                }
            }
            Some(Entry::Hot(limiter)) => return (Found::Hot(Arc::clone(limiter)), sampled),
            None => self.take_first(&mut part, (hash, key), tokens, now()),
        };
        match result {
            Ok(()) => {
                part.allowed += u64::from(tokens);
                (Found::Admitted, sampled)
            }
            Err(denied) => {
                part.denied += 1;
                (Found::Denied(denied), sampled)
            }
        }
    }

    #[inline(never)]
    fn draw_plain(&self, plain: &mut Plain, line: Line, tokens: u32, now: Instant) -> Result<(), Denied> {
        let asked = self.epoch.reading(now);
        plain.draw(line, asked.at, tokens).map_err(|wait| self.denial(wait, asked))
    }

    /// The first call of a key.
    #[inline(never)]
    fn take_first(
        &self,
        part: &mut Part<K>,
        (hash, key): (u64, &K),
        tokens: u32,
        now: Instant,
    ) -> Result<(), Denied> {
        let asked = self.epoch.reading(now);
        let mut plain = Plain::new(asked.at);
        // A call that is denied to a full bucket leaves nothing to remember.
        plain.draw(part.line, asked.at, tokens).map_err(|wait| self.denial(wait, asked))?;
        part.make_room(asked.at).map_err(|room| {
            Denied::until(DenialReason::TooManyKeys, now, self.epoch.wait(asked, asked.until(room)))
        })?;
        part.insert(hash, key.clone(), plain, |key| self.hasher.hash_one(key));
        Ok(())
    }

    fn denial(&self, wait: Wait, asked: Reading) -> Denied {
        match wait {
            Wait::In(span) => Denied::until(DenialReason::Rate, asked.now, self.epoch.wait(asked, span)),
            Wait::Never => Denied::whenever(DenialReason::TooLarge),
            Wait::Held => Denied::whenever(DenialReason::Reserved),
        }
    }
}

/// What a key's part says.
enum Found {
    // By itself: an `Ok` beside a `Denied` would be copied with all its room.
    Admitted,
    Denied(Denied),
    Hot(Arc<ShardedLimiter>),
}
