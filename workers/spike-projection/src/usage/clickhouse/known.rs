//! Of which hours the pipeline had data: the same for all organizations, so it is asked once a minute, not once a job.
//!
//! It must never call an hour known that was not: only answers are kept, and a newer one only adds hours.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::ClickHouseError;
use crate::hour::Hour;

/// How long an answer holds. An hour that becomes known meanwhile is taken for unknown until then.
const HOLDS: Duration = Duration::from_secs(60);

/// The latest answer. Whoever finds none asks, and all others wait for that one query.
#[derive(Debug)]
pub(super) struct KnownHours {
    latest: Mutex<Option<Answer>>,
    patience: Duration,
}

#[derive(Debug)]
struct Answer {
    asked: Range<Hour>,
    at: Instant,
    known: BTreeSet<Hour>,
}

impl KnownHours {
    /// None yet. Nobody waits longer than `patience` for another's query.
    pub(super) fn new(patience: Duration) -> Self {
        Self { latest: Mutex::default(), patience }
    }

    /// The known ones of these hours; `ask` is called when nobody has asked lately.
    pub(super) async fn of(
        &self,
        hours: &Range<Hour>,
        ask: impl AsyncFnOnce() -> Result<BTreeSet<Hour>, ClickHouseError>,
    ) -> Result<BTreeSet<Hour>, ClickHouseError> {
        let latest = timeout(self.patience, self.latest.lock()).await;
        let mut latest = latest.map_err(|_| ClickHouseError::Waited)?;
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
        self.asked == *hours && self.at.elapsed() < HOLDS
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
    async fn many_jobs_ask_once_and_again_after_a_minute_or_for_other_hours() {
        let asked = Asked::new();
        for _ in 0..100 {
            assert_eq!(asked.ask(WEEK).await.unwrap(), [Hour(0)].into());
        }
        assert_eq!(asked.times(), 1);
        asked.ask(Hour(1)..Hour(169)).await.unwrap();
        assert_eq!(asked.times(), 2);
        tokio::time::advance(HOLDS).await;
        asked.ask(Hour(1)..Hour(169)).await.unwrap();
        assert_eq!(asked.times(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_kept_by_nobody_and_a_hanging_query_holds_nobody_up_for_ever() {
        let asked = Asked::new();
        let failed = asked.known.of(&WEEK, async || Err(ClickHouseError::Broken(String::new()))).await;
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
        assert!(matches!(waited, Err(ClickHouseError::Waited)) && never.is_err());
        assert!(asked.ask(WEEK).await.is_ok(), "who gave up has let go");
    }
}
