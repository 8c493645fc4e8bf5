//! Caches the hours in which the pipeline had data. They are the same for all organizations, so they are
//! queried once a minute, not once per job.
//!
//! Only successful responses are cached, so an hour is never reported as known by mistake.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::ClickHouseError;
use crate::hour::Hour;

/// How long a response is cached. An hour that becomes known in the meantime counts as unknown until then.
const CACHE_TIME: Duration = Duration::from_secs(60);

/// The latest response. The first caller without one queries; others wait for the same query.
#[derive(Debug)]
pub(super) struct KnownHours {
    latest: Mutex<Option<Answer>>,
    timeout: Duration,
}

#[derive(Debug)]
struct Answer {
    asked: Range<Hour>,
    at: Instant,
    known: BTreeSet<Hour>,
}

impl KnownHours {
    /// Creates an empty cache. `timeout` limits how long a caller waits for the query of another.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { latest: Mutex::default(), timeout }
    }

    /// Returns the known hours in this range. Calls `ask` if the cache has no response for the range.
    pub(super) async fn of(
        &self,
        hours: &Range<Hour>,
        ask: impl AsyncFnOnce() -> Result<BTreeSet<Hour>, ClickHouseError>,
    ) -> Result<BTreeSet<Hour>, ClickHouseError> {
        let latest = timeout(self.timeout, self.latest.lock()).await;
        let mut latest = latest.map_err(|_| ClickHouseError::KnownHoursTimeout)?;
        if let Some(answer) = latest.as_ref().filter(|answer| answer.holds(hours)) {
            return Ok(answer.known.clone());
        }
        let at = Instant::now();
        let known = ask().await?;
        *latest = Some(Answer { asked: hours.clone(), at, known: known.clone() });
        Ok(known)
    }
}

impl Answer {
    fn holds(&self, hours: &Range<Hour>) -> bool {
        self.asked == *hours && self.at.elapsed() < CACHE_TIME
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const WEEK: Range<Hour> = Hour(0)..Hour(168);

    struct Asked {
        known: KnownHours,
        times: AtomicU32,
    }

    impl Asked {
        fn new() -> Self {
            Self { known: KnownHours::new(Duration::from_secs(5)), times: AtomicU32::new(0) }
        }

        async fn ask(&self, hours: Range<Hour>) -> Result<BTreeSet<Hour>, ClickHouseError> {
            let ask = async || {
                self.times.fetch_add(1, Ordering::Relaxed);
                Ok([hours.start].into())
            };
            self.known.of(&hours, ask).await
        }

        fn times(&self) -> u32 {
            self.times.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_jobs_query_once_and_again_after_a_minute_or_for_other_hours() {
        let asked = Asked::new();
        for _ in 0..100 {
            assert_eq!(asked.ask(WEEK).await.unwrap(), [Hour(0)].into());
        }
        assert_eq!(asked.times(), 1);
        asked.ask(Hour(1)..Hour(169)).await.unwrap();
        assert_eq!(asked.times(), 2);
        tokio::time::advance(CACHE_TIME).await;
        asked.ask(Hour(1)..Hour(169)).await.unwrap();
        assert_eq!(asked.times(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_not_cached_and_a_hanging_query_blocks_others_only_until_the_timeout() {
        let asked = Asked::new();
        let failed =
            asked.known.of(&WEEK, async || Err(ClickHouseError::InvalidResponse(String::new()))).await;
        assert!(failed.is_err());
        assert_eq!(asked.ask(WEEK).await.unwrap(), [Hour(0)].into());
        let never = asked.known.of(&(Hour(5)..Hour(6)), async || std::future::pending().await);
        let (waited, never) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                asked.ask(WEEK).await
            },
            timeout(Duration::from_secs(60), never)
        );
        assert!(matches!(waited, Err(ClickHouseError::KnownHoursTimeout)) && never.is_err());
        assert!(asked.ask(WEEK).await.is_ok(), "a caller that gave up has released the lock");
    }
}
