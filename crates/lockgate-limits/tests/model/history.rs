//! A random history of one bucket with reservations, and the checks of the properties R1 to R4 on it.

use super::*;

/// A random history of one bucket with reservations.
pub(crate) struct History {
    bucket: TokenBucket,
    start: Instant,
    now: Duration,
    rate: (u32, Duration),
    burst: u32,
    // Whether only available tokens are reserved: a reservation then counts at its execution, however late.
    at_once: bool,
    held: Vec<(Reservation, u32)>,
    // When, and how many.
    admitted: Vec<(Duration, u32)>,
    last_ready: Option<Instant>,
}

impl History {
    pub(crate) fn new(n: u32, per: Duration, burst: u32, at_once: bool) -> Self {
        let start = Instant::now();
        let quota = Quota::new(Rate::new(n, per).unwrap(), burst).unwrap();
        let bucket = TokenBucket::with_window(quota, start, per * 3 / n);
        Self {
            bucket,
            start,
            now: Duration::ZERO,
            rate: (n, per),
            burst,
            at_once,
            held: Vec::new(),
            admitted: Vec::new(),
            last_ready: None,
        }
    }

    pub(crate) fn step(
        &mut self,
        gap_of: u32,
        tokens: u32,
        what: u32,
        which: prop::sample::Index,
    ) -> Result<(), TestCaseError> {
        let per_token = self.rate.1.as_nanos() as f64 / f64::from(self.rate.0);
        self.now += gap(per_token, gap_of);
        let at = self.start + self.now;
        match what {
            0..=1 => {
                if self.bucket.try_acquire_at(tokens, at).is_ok() {
                    self.admitted.push((self.now, tokens));
                }
            }
            2..=4 => self.reserve(
                tokens,
                Duration::from_nanos(if self.at_once { 0 } else { (per_token * 6.0) as u64 }),
                at,
            )?,
            _ if self.held.is_empty() => {}
            5..=6 => self.execute(which.index(self.held.len()), at)?,
            _ => {
                let (reservation, _) = self.held.remove(which.index(self.held.len()));
                let before = self.bucket.status_at(at);
                let refund = reservation.cancel_at(at);
                let after = self.bucket.status_at(at);
                prop_assert_eq!(before.held - after.held, refund.returned + refund.burned);
                self.last_ready = None;
            }
        }
        self.conserve(at)
    }

    fn reserve(&mut self, tokens: u32, max_wait: Duration, at: Instant) -> Result<(), TestCaseError> {
        // A reservation that has expired returns its tokens now, which is like a cancellation.
        let expired = self.held.iter().any(|(r, _)| r.expires_at() < at);
        if let Ok(reservation) = self.bucket.reserve_at(tokens, max_wait, at) {
            let ready = reservation.ready_at();
            prop_assert!(ready >= at && ready <= at + max_wait);
            if let Some(last) = self.last_ready.filter(|_| !expired) {
                prop_assert!(ready >= last, "ready before one that was charged earlier");
            }
            self.last_ready = Some(ready);
            self.held.push((reservation, tokens));
        }
        Ok(())
    }

    fn execute(&mut self, index: usize, at: Instant) -> Result<(), TestCaseError> {
        let (reservation, tokens) = &mut self.held[index];
        let (ready, expires) = (reservation.ready_at(), reservation.expires_at());
        match reservation.execute_at(at) {
            Err(NotExecuted::Early) => prop_assert!(at < ready),
            Err(NotExecuted::Ended) => prop_assert!(at > expires),
            Ok(()) => {
                prop_assert!(at >= ready && at <= expires);
                prop_assert_eq!(reservation.execute_at(at), Err(NotExecuted::Ended));
                self.admitted.push((if self.at_once { self.now } else { ready - self.start }, *tokens));
            }
        }
        if at >= ready {
            drop(self.held.remove(index));
            self.last_ready = self.last_ready.filter(|_| at <= expires);
        }
        Ok(())
    }

    /// R2 as far as it is visible: spent, burned, held and available tokens do not exceed what was refilled.
    fn conserve(&self, at: Instant) -> Result<(), TestCaseError> {
        let status = self.bucket.status_at(at);
        let spent: u64 = self.admitted.iter().map(|(_, n)| u64::from(*n)).sum();
        prop_assert_eq!(status.allowed, spent);
        let held: u64 =
            self.held.iter().filter(|(r, _)| r.expires_at() >= at).map(|(_, n)| u64::from(*n)).sum();
        prop_assert_eq!(status.held, held);
        let ahead = self.held.iter().map(|(r, _)| r.ready_at()).max().map_or(at, |last| last.max(at));
        let came = self.most(ahead - self.start);
        prop_assert!(u128::from(spent + status.burned + held) <= came);
        let now = self.most(self.now);
        let waiting: u64 =
            self.held.iter().filter(|(r, _)| r.ready_at() > at).map(|(_, n)| u64::from(*n)).sum();
        prop_assert!(u128::from(spent + held + status.remaining - waiting.min(spent + held)) <= now);
        Ok(())
    }

    fn most(&self, window: Duration) -> u128 {
        let (n, per) = self.rate;
        u128::from(self.burst) + u128::from(n) * window.as_nanos() / per.as_nanos()
    }

    pub(crate) fn check_windows(&mut self) -> Result<(), TestCaseError> {
        // The tokens that are still held could be spent, too.
        for (reservation, tokens) in &mut self.held {
            let ready = reservation.ready_at();
            if reservation.execute_at(ready.max(self.start + self.now)).is_ok() {
                self.admitted.push((if self.at_once { self.now } else { ready - self.start }, *tokens));
            }
        }
        self.admitted.sort_unstable();
        for (i, (from, _)) in self.admitted.iter().enumerate() {
            let mut sum = 0u128;
            for (to, tokens) in &self.admitted[i..] {
                sum += u128::from(*tokens);
                let most = self.most(*to - *from);
                prop_assert!(sum <= most, "{sum} from {from:?} to {to:?}, at most {most}");
            }
        }
        Ok(())
    }
}
