//! What was reported of one pool, and the recommendation that follows. Pure; callers read the store and the
//! clock.
//!
//! All processes share one recommendation: a decision starts from the recommendation in the store, whoever
//! made it.

use std::time::Duration;

use lockgate_core::pool::{NewRecommendation, PoolStatus};
use lockgate_limits::{
    AdaptiveLimit, AdaptiveMode, AdaptiveOptions, Observation, RecommendationReason, Signal,
};
use tokio::time::Instant;

use super::ExecutionReport;
use crate::executor::pool_policy::PoolPolicy;

/// Decides for one pool.
#[derive(Debug)]
pub(super) struct PoolMonitor {
    mode: AdaptiveMode,
    min: u32,
    /// Created when the configured slots are known, and again when they change.
    limit: Option<AdaptiveLimit>,
    /// The slots that `limit` was created for.
    configured: u32,
    /// The recommended slots in the store, and the version of the pool that they were read from.
    known: u32,
    version: u64,
    /// Slots in use by all processes, at the last read.
    in_use: u32,
    /// Reports from before the slots were known.
    early: Vec<(Signal, Duration, String)>,
    /// Refused or timed-out executions since the last decision.
    refused: u32,
    /// Executions since the last decision.
    calls: u32,
    paused_until: Option<Instant>,
    /// When the recommendation changed last, as far as this process knows.
    changed_at: Option<Instant>,
}

/// Reports that are kept while the slots are not known yet.
const MAX_EARLY: usize = 64;

impl PoolMonitor {
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

    /// Raises the smallest recommendation to `weight` slots.
    pub(super) fn recommend_at_least(&mut self, weight: u32) {
        self.min = self.min.max(weight);
    }

    /// Processes a report. Returns whether it is the first refusal of a congestion, so that the pool should
    /// be paused.
    ///
    /// An execution that began before the last change says nothing about it, and one that ends during a pause
    /// was granted its slots before the pause.
    pub(super) fn process(&mut self, report: &ExecutionReport, now: Instant) -> bool {
        let began_at = now.checked_sub(report.latency);
        let is_old = self.changed_at.is_some_and(|at| began_at.is_none_or(|began_at| began_at < at));
        match report.signal {
            Signal::Throttled => !is_old && self.paused_until.is_none_or(|until| now >= until),
            Signal::TimedOut if is_old => false,
            _ => {
                self.observe(report);
                false
            }
        }
    }

    /// Adds an execution to the observations of the adaptive limit.
    pub(super) fn observe(&mut self, report: &ExecutionReport) {
        self.calls = self.calls.saturating_add(1);
        if matches!(report.signal, Signal::Throttled | Signal::TimedOut) {
            self.refused = self.refused.saturating_add(1);
        }
        let (signal, latency, in_use) = (report.signal, report.latency, self.in_use);
        match &mut self.limit {
            Some(limit) => {
                limit.observe(&Observation { kind: report.kind.as_str(), signal, latency, in_use });
            }
            None if self.early.len() < MAX_EARLY => {
                self.early.push((signal, latency, report.kind.to_string()));
            }
            None => {}
        }
    }

    /// Records that the pool grants nothing until `until`.
    pub(super) fn set_paused(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// Returns whether there is something to decide: an execution was refused, or fewer slots than configured
    /// are recommended.
    pub(super) fn has_news(&self) -> bool {
        self.refused > 0 || self.known < self.configured
    }

    /// Decides what to recommend. `None`: the recommendation in the store stays. `Some(None)`: it is removed.
    pub(super) fn decide(&mut self, status: &PoolStatus, now: Instant) -> Option<Option<NewRecommendation>> {
        let limit = self.limit.as_mut().filter(|_| status.allowed() > 0)?;
        let recommendation = limit.decide(now);
        let (refused, calls) = (std::mem::take(&mut self.refused), std::mem::take(&mut self.calls));
        let enforced = self.mode == AdaptiveMode::Enforce;
        let stays = match &status.recommendation {
            None => recommendation.recommended >= status.allowed(),
            Some(given) => given.slots == recommendation.recommended && given.enforced == enforced,
        };
        if stays {
            return None;
        }
        if recommendation.recommended >= status.allowed() {
            return Some(None);
        }
        let why = reason(recommendation.reason, self.known, (refused, calls));
        Some(Some(NewRecommendation { slots: recommendation.recommended, why, enforced }))
    }

    /// Records the status of the pool after a change by this process.
    pub(super) fn set_changed(&mut self, status: &PoolStatus, now: Instant) {
        let recommended = recommended(status);
        if recommended != self.known {
            self.changed_at = Some(now);
        }
        self.known = recommended;
        self.version = status.version;
    }

    /// Takes over what the store has: other configured slots, or the recommendation of another process.
    pub(super) fn synchronize(&mut self, status: &PoolStatus, now: Instant) {
        let recommended = recommended(status);
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
        // Also when the number is unchanged: it may have been raised and lowered again since the last read.
        let is_or_was_lowered = recommended.min(self.known) < status.allowed();
        if let Some(limit) = self.limit.as_mut().filter(|_| is_new || status.version != self.version)
            && is_or_was_lowered
        {
            limit.apply_external(recommended, now);
            if recommended != self.known {
                self.changed_at = Some(now);
            }
        }
        self.known = recommended;
        self.version = status.version;
        self.in_use = status.in_use();
    }
}

/// Returns the recommended slots of a pool: all allowed slots when there is no recommendation.
fn recommended(status: &PoolStatus) -> u32 {
    let allowed = status.allowed();
    status.recommendation.as_ref().map_or(allowed, |recommendation| recommendation.slots.min(allowed))
}

/// Returns the reason of a recommendation, for operators.
fn reason(why: RecommendationReason, before: u32, (refused, calls): (u32, u32)) -> String {
    match why {
        RecommendationReason::Congested => {
            format!("lowered from {before}: {refused} of {calls} executions were refused or timed out")
        }
        RecommendationReason::BackedOff => {
            format!(
                "lowered again from {before}: since it was raised, executions took longer or were refused"
            )
        }
        RecommendationReason::Grown => {
            format!("raised from {before}: executions take no longer than at their best")
        }
        RecommendationReason::JustLowered => String::from("lowered a moment ago"),
        _ => String::from("continues the earlier recommendation"),
    }
}
