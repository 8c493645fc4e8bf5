//! One pool: what was heard of it, and what is advised. Pure: whoever calls it reads the store and the clock.
//!
//! It must never forget that the recommendation is everybody's: what another process advised is where it goes on from.

use std::time::Duration;

use lockgate_core::pool::{NewRecommendation, PoolStatus};
use lockgate_limits::{AdaptiveLimit, AdaptiveMode, AdaptiveOptions, Observation, Signal, Why};
use tokio::time::Instant;

use super::Heard;
use crate::worker::options::PoolPolicy;

#[derive(Debug)]
pub(super) struct PoolWatch {
    mode: AdaptiveMode,
    min: u32,
    /// Of the slots that are configured; made when they are known, and again when they change.
    limit: Option<AdaptiveLimit>,
    configured: u32,
    /// What is advised, as the store has it, and the version of the pool that it was read from.
    known: u32,
    version: u64,
    /// Slots in use, of all processes, at the last look.
    in_use: u32,
    /// Heard since the last look.
    early: Vec<(Signal, Duration, String)>,
    refused: u32,
    calls: u32,
    paused_until: Option<Instant>,
    /// When the recommendation changed last, as far as this process knows.
    changed_at: Option<Instant>,
}

/// Executions that are kept while the slots are not known yet.
const EARLY: usize = 64;

impl PoolWatch {
    pub(super) fn new(policy: PoolPolicy) -> Self {
        Self {
            mode: policy.adaptive,
            min: policy.adaptive_min.max(1),
            limit: None,
            configured: 0,
            known: 0,
            version: 0,
            in_use: 0,
            early: Vec::new(),
            refused: 0,
            calls: 0,
            paused_until: None,
            changed_at: None,
        }
    }

    /// Advises no fewer slots than this.
    pub(super) fn at_least(&mut self, weight: u32) {
        self.min = self.min.max(weight);
    }

    /// Hears of an execution; answers whether it is the first refusal of a congestion. What began before the last change
    /// says nothing about it, and what ends during a pause was granted before it.
    pub(super) fn hear(&mut self, heard: &Heard, now: Instant) -> bool {
        let began = now.checked_sub(heard.latency);
        let is_old = self.changed_at.is_some_and(|at| began.is_none_or(|began| began < at));
        match heard.signal {
            Signal::Throttled => !is_old && self.paused_until.is_none_or(|until| now >= until),
            Signal::TimedOut if is_old => false,
            _ => {
                self.observe(heard);
                false
            }
        }
    }

    /// Counts an execution.
    pub(super) fn observe(&mut self, heard: &Heard) {
        self.calls = self.calls.saturating_add(1);
        if matches!(heard.signal, Signal::Throttled | Signal::TimedOut) {
            self.refused = self.refused.saturating_add(1);
        }
        let (signal, latency, in_use) = (heard.signal, heard.latency, self.in_use);
        match &mut self.limit {
            Some(limit) => limit.observe(&Observation { kind: heard.kind.as_str(), signal, latency, in_use }),
            None if self.early.len() < EARLY => self.early.push((signal, latency, heard.kind.to_string())),
            None => {}
        }
    }

    /// The pool grants nothing until then.
    pub(super) fn is_paused(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// Whether there is anything to decide: somebody was refused, or fewer slots than configured are advised.
    pub(super) fn wants_a_look(&self) -> bool {
        self.refused > 0 || self.known < self.configured
    }

    /// What to advise from now on; `None`: what is advised already. `Some(None)`: nothing.
    pub(super) fn decide(&mut self, status: &PoolStatus, now: Instant) -> Option<Option<NewRecommendation>> {
        let limit = self.limit.as_mut().filter(|_| status.allowed() > 0)?;
        let recommendation = limit.decide(now);
        let (refused, calls) = (std::mem::take(&mut self.refused), std::mem::take(&mut self.calls));
        let enforced = self.mode == AdaptiveMode::Enforce;
        let stands = match &status.recommendation {
            None => recommendation.recommended >= status.allowed(),
            Some(given) => given.slots == recommendation.recommended && given.enforced == enforced,
        };
        if stands {
            return None;
        }
        if recommendation.recommended >= status.allowed() {
            return Some(None);
        }
        let why = reason(recommendation.why, self.known, (refused, calls));
        Some(Some(NewRecommendation { slots: recommendation.recommended, why, enforced }))
    }

    /// The store has taken a change of this process, to the recommendation or not.
    pub(super) fn is_changed(&mut self, status: &PoolStatus, now: Instant) {
        let shown = advised(status);
        if shown != self.known {
            self.changed_at = Some(now);
        }
        self.known = shown;
        self.version = status.version;
    }

    /// Goes on from what the store says: other slots, or the recommendation of another process.
    pub(super) fn catch_up(&mut self, status: &PoolStatus, now: Instant) {
        let shown = advised(status);
        let is_new = self.limit.is_none() || self.configured != status.allowed();
        if is_new {
            self.configured = status.allowed();
            let options = AdaptiveOptions { mode: self.mode, min: self.min, configured: status.allowed() };
            let mut limit = AdaptiveLimit::new(options);
            for (signal, latency, kind) in self.early.drain(..) {
                limit.observe(&Observation { kind: &kind, signal, latency, in_use: status.in_use() });
            }
            self.limit = Some(limit);
            self.known = status.allowed();
        }
        // Also when the recommendation is what it was: it may have been raised and taken back since the last look.
        let is_or_was_advised = shown.min(self.known) < status.allowed();
        if let Some(limit) = self.limit.as_mut().filter(|_| is_new || status.version != self.version)
            && is_or_was_advised
        {
            limit.ingest(shown, now);
            if shown != self.known {
                self.changed_at = Some(now);
            }
        }
        self.known = shown;
        self.version = status.version;
        self.in_use = status.in_use();
    }
}

fn advised(status: &PoolStatus) -> u32 {
    status
        .recommendation
        .as_ref()
        .map_or(status.allowed(), |recommendation| recommendation.slots.min(status.allowed()))
}

/// Why, in words for an operator.
fn reason(why: Why, before: u32, (refused, calls): (u32, u32)) -> String {
    match why {
        Why::Congested => {
            format!("lowered from {before}: {refused} of {calls} executions were refused or timed out")
        }
        Why::Vetoed => {
            format!("back from {before}: executions took longer, or were refused, since it had grown")
        }
        Why::Grown => format!("raised from {before}: executions take no longer than at their best"),
        Why::JustLowered => String::from("lowered a moment ago"),
        _ => String::from("going on with what was advised"),
    }
}
