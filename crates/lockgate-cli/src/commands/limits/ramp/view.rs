//! What `limits ramp` prints.

use lockgate::limits::{LimitStatus, Quota, Ramp};
use lockgate::{Lockgate, Timestamp};
use serde::Serialize;

use super::super::ramp_state;
use crate::Style;
use crate::commands::views::{RampStepView, ms, none, of_ms};
use crate::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct RampOutput {
    limit: String,
    /// The step in force, from 1. Null: the limit is in no step.
    step: Option<usize>,
    /// When the limit reached this step. Null: it is in none.
    since: Option<String>,
    /// Why the limit is in this step. Null: it is in none.
    why: Option<String>,
    /// The rate without the ramp. Null: no rate.
    configured_rate: Option<String>,
    /// The burst without the ramp. Null: no rate.
    configured_burst: Option<u32>,
    /// The slots without the ramp. Null: the limit belongs to a kind.
    configured_slots: Option<u32>,
    /// Jobs of all workers that ended in this step. Null: the limit is in no step.
    ended: Option<u64>,
    failed: Option<u64>,
    slow: Option<u64>,
    soak_ms: u64,
    min_samples: u32,
    max_error_rate: f64,
    max_p95_ms: u64,
    steps: Vec<RampStepView>,
}

impl RampOutput {
    pub(super) fn new(
        lockgate: &Lockgate,
        limit: String,
        ramp: &Ramp,
        (status, configured, slots): (Option<&LimitStatus>, Option<Quota>, Option<u32>),
    ) -> Self {
        let current = status.and_then(|status| Some((status, ramp_state(status)?)));
        let in_force = status.filter(|status| !status.is_unset()).map_or(configured, |status| status.quota);
        let configured = current.as_ref().map_or(in_force, |(_, state)| state.configured);
        let last = ramp.steps.len().saturating_sub(1);
        let index = current.as_ref().map(|(_, state)| state.step.min(last));
        let views = ramp.steps.iter().enumerate();
        let views = views.map(|(n, step)| RampStepView::new(step, (configured, slots), index == Some(n)));
        let since = |status: &LimitStatus| {
            let age = i64::try_from(status.age.as_millis()).unwrap_or(i64::MAX);
            rfc3339(Timestamp(lockgate.now().0.saturating_sub(age)))
        };
        let samples = current.as_ref().map(|(status, _)| status.samples);
        Self {
            limit,
            step: index.map(|index| index + 1),
            since: current.as_ref().map(|(status, _)| since(status)),
            configured_rate: configured.map(|quota| quota.rate().to_string()),
            configured_burst: configured.map(|quota| quota.burst()),
            configured_slots: slots,
            ended: samples.map(|samples| samples.ended),
            failed: samples.map(|samples| samples.failed),
            slow: samples.map(|samples| samples.slow),
            why: current.map(|(_, state)| state.reason),
            soak_ms: ms(ramp.soak),
            min_samples: ramp.min_samples,
            max_error_rate: ramp.max_error_rate,
            max_p95_ms: ms(ramp.max_p95),
            steps: views.collect(),
        }
    }

    pub(super) fn describe(&self, style: &Style) -> String {
        let rows = self.steps.iter().enumerate().map(|(n, step)| {
            [
                (n + 1).to_string(),
                format!("{} %", step.share_percent),
                step.rate.clone().unwrap_or_else(none),
                step.burst.map_or_else(none, |burst| burst.to_string()),
                step.slots.map_or_else(none, |slots| slots.to_string()),
                if step.is_current { String::from("in force") } else { none() },
            ]
        });
        let table = style.table(["step", "share", "rate", "burst", "slots", "note"], rows);
        let thresholds = format!(
            "Next step after {} with at least {} jobs; previous step above {} % failures or a p95 of {}.",
            of_ms(self.soak_ms),
            self.min_samples,
            self.max_error_rate * 100.0,
            of_ms(self.max_p95_ms),
        );
        format!("{table}\n{thresholds}\n{}", self.describe_step())
    }

    fn describe_step(&self) -> String {
        let (Some(step), Some(since), Some(why)) = (self.step, &self.since, &self.why) else {
            return format!("{} is in no step.", self.limit);
        };
        let [ended, failed, slow] = [self.ended, self.failed, self.slow].map(Option::unwrap_or_default);
        format!(
            "{} is in step {step} since {since}: {why}. Jobs in this step: {ended} ended, {failed} failed, {slow} were \
             too slow.",
            self.limit
        )
    }
}
