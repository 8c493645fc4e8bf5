//! What `limits ramp` prints.

use lockgate::limits::{LimitStatus, Quota, Ramp};
use lockgate::{Lockgate, Timestamp};
use serde::Serialize;

use super::super::stage_of;
use crate::Look;
use crate::commands::views::{StageView, ms, none, of_ms};
use crate::times::rfc3339;

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    limit: String,
    /// The stage in force, from 1; null: none.
    stage: Option<usize>,
    since: Option<String>,
    why: Option<String>,
    /// What is in force without ramp; null: no rate.
    configured_rate: Option<String>,
    configured_burst: Option<u32>,
    /// Null: the limit is of a kind.
    configured_slots: Option<u32>,
    /// Jobs of all workers in this stage; null: it is in none.
    ended: Option<u64>,
    failed: Option<u64>,
    slow: Option<u64>,
    soak_ms: u64,
    min_samples: u32,
    max_error_rate: f64,
    max_p95_ms: u64,
    ramp: Vec<StageView>,
}

impl Shown {
    pub(super) fn new(
        lockgate: &Lockgate,
        limit: String,
        ramp: &Ramp,
        (found, configured, slots): (Option<&LimitStatus>, Option<Quota>, Option<u32>),
    ) -> Self {
        let staged = found.and_then(|found| Some((found, stage_of(found)?)));
        let in_force = found.filter(|found| !found.is_unset()).map_or(configured, |found| found.quota);
        let configured = staged.as_ref().map_or(in_force, |(_, note)| note.configured);
        let last = ramp.steps.len().saturating_sub(1);
        let place = staged.as_ref().map(|(_, note)| note.step.min(last));
        let views = ramp.steps.iter().enumerate();
        let views = views.map(|(n, stage)| StageView::new(stage, (configured, slots), place == Some(n)));
        let since = |found: &LimitStatus| {
            let age = i64::try_from(found.age.as_millis()).unwrap_or(i64::MAX);
            rfc3339(Timestamp(lockgate.now().0.saturating_sub(age)))
        };
        let samples = staged.as_ref().map(|(found, _)| found.samples);
        Self {
            limit,
            stage: place.map(|place| place + 1),
            since: staged.as_ref().map(|(found, _)| since(found)),
            configured_rate: configured.map(|quota| quota.rate().to_string()),
            configured_burst: configured.map(|quota| quota.burst()),
            configured_slots: slots,
            ended: samples.map(|samples| samples.ended),
            failed: samples.map(|samples| samples.failed),
            slow: samples.map(|samples| samples.slow),
            why: staged.map(|(_, note)| note.reason),
            soak_ms: ms(ramp.soak),
            min_samples: ramp.min_samples,
            max_error_rate: ramp.max_error_rate,
            max_p95_ms: ms(ramp.max_p95),
            ramp: views.collect(),
        }
    }

    pub(super) fn describe(&self, look: &Look) -> String {
        let rows = self.ramp.iter().enumerate().map(|(n, stage)| {
            [
                (n + 1).to_string(),
                format!("{} %", stage.share_percent),
                stage.rate.clone().unwrap_or_else(none),
                stage.burst.map_or_else(none, |burst| burst.to_string()),
                stage.slots.map_or_else(none, |slots| slots.to_string()),
                if stage.is_current { String::from("in force") } else { none() },
            ]
        });
        let table = look.table(["stage", "share", "rate", "burst", "slots", "note"], rows);
        let thresholds = format!(
            "Next stage after {}, with {} jobs or more; back above {} % failures or a p95 of {}.",
            of_ms(self.soak_ms),
            self.min_samples,
            self.max_error_rate * 100.0,
            of_ms(self.max_p95_ms),
        );
        format!("{table}\n{thresholds}\n{}", self.standing())
    }

    fn standing(&self) -> String {
        let (Some(stage), Some(since), Some(why)) = (self.stage, &self.since, &self.why) else {
            return format!("{} is in no stage.", self.limit);
        };
        let [ended, failed, slow] = [self.ended, self.failed, self.slow].map(Option::unwrap_or_default);
        format!(
            "{} is in stage {stage} since {since}: {why}. Jobs in it: {ended} ended, {failed} failed, {slow} took too long.",
            self.limit
        )
    }
}
