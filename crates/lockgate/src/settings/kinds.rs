//! `[kinds.NAME]`: what an operator changes of a kind of jobs. What is not set is as the program has it.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use garde::{Path, Report, Validate};
use lockgate_core::bounds::MAX_DURATION;
use lockgate_core::{Kind, KindOptions};
use lockgate_limits::Rate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{between, within};
use super::durations::optional;
use super::{RampSettings, rates};

/// `[kinds]`: settings by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Kinds(#[schemars(with = "BTreeMap<String, KindSettings>")] BTreeMap<Kind, KindSettings>);

/// `[kinds.NAME]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KindSettings {
    /// How often its jobs start, such as `10/s`, in all processes together. Not set: no rate of its own.
    #[serde(with = "rates::text")]
    #[schemars(with = "Option<String>")]
    pub rate: Option<Rate>,
    /// The most starts that are saved up while none comes. Not set: what its rate brings in a second.
    pub burst: Option<u32>,
    /// How `limits ramp kind:NAME start` raises its rate step by step to what is configured.
    pub ramp: RampSettings,
    /// Attempts before a job fails, 1 to 1000. Not set: as the kind's code has it, by default 3.
    pub max_attempts: Option<u32>,
    /// How long an attempt may run, at most 366 days. Not set: as the kind's code has it, by default 90s.
    #[serde(with = "optional")]
    #[schemars(with = "Option<String>")]
    pub deadline: Option<Duration>,
    /// The longest wait after the first attempt; it doubles with each further one. Not set: as the kind's
    /// code has it, by default 5s.
    #[serde(with = "optional")]
    #[schemars(with = "Option<String>")]
    pub backoff_base: Option<Duration>,
    /// The longest wait after any attempt. Not set: as the kind's code has it, by default 5m.
    #[serde(with = "optional")]
    #[schemars(with = "Option<String>")]
    pub backoff_cap: Option<Duration>,
    /// How long the backend may go on working for an attempt that has ended: its slots drain for that long.
    /// Not set: as the kind's code has it, by default 0s.
    #[serde(with = "optional")]
    #[schemars(with = "Option<String>")]
    pub backend_time: Option<Duration>,
    /// How many jobs may share one execution and its slots, 1 to 1000, when the kind's code can run a group.
    /// Not set: as the kind's code has it, by default 1.
    pub group: Option<u32>,
}

impl KindSettings {
    /// Returns the settings that would give a kind these options. Rate and burst are not options and stay
    /// unset.
    #[must_use]
    pub fn of(options: &KindOptions) -> Self {
        Self {
            max_attempts: Some(options.max_attempts),
            deadline: Some(options.deadline),
            backoff_base: Some(options.backoff.base),
            backoff_cap: Some(options.backoff.cap),
            backend_time: Some(options.backend_time),
            group: Some(options.group),
            ..Self::default()
        }
    }

    /// Changes the options to what is set here.
    pub fn apply(&self, options: &mut KindOptions) {
        fn set<T: Copy>(option: &mut T, setting: Option<T>) {
            *option = setting.unwrap_or(*option);
        }
        set(&mut options.max_attempts, self.max_attempts);
        set(&mut options.deadline, self.deadline);
        set(&mut options.backoff.base, self.backoff_base);
        set(&mut options.backoff.cap, self.backoff_cap);
        set(&mut options.backend_time, self.backend_time);
        set(&mut options.group, self.group);
    }

    /// The settings that are out of range, with what they must be.
    fn faults(&self) -> Vec<(&'static str, garde::Error)> {
        let counts = [("max_attempts", self.max_attempts), ("group", self.group)];
        let counts = counts
            .map(|(name, count)| (name, count.map_or(Ok(()), |count| between(1, MAX_COUNT)(&count, &()))));
        let durations = [
            ("deadline", Duration::from_millis(1), self.deadline),
            ("backoff_base", Duration::ZERO, self.backoff_base),
            ("backoff_cap", Duration::ZERO, self.backoff_cap),
            ("backend_time", Duration::ZERO, self.backend_time),
        ];
        let durations = durations.map(|(name, least, duration)| {
            (name, duration.map_or(Ok(()), |duration| within(least, MAX_DURATION)(&duration, &())))
        });
        let checked = counts.into_iter().chain(durations);
        checked.filter_map(|(name, checked)| Some((name, checked.err()?))).collect()
    }
}

/// The most attempts of a job, and jobs of a group. More attempts are a retry that never ends; larger groups
/// hold up each other's settlement.
const MAX_COUNT: u32 = 1_000;

impl Deref for Kinds {
    type Target = BTreeMap<Kind, KindSettings>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Kinds {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

// By hand: a `Kind` is no path of garde's, and a rate and its burst are one thing.
impl Validate for Kinds {
    type Context = ();

    fn validate_into(&self, (): &(), parent: &mut dyn FnMut() -> Path, report: &mut Report) {
        for (name, kind) in &self.0 {
            let mut path = || parent().join(name.as_str());
            rates::validate(kind.rate, kind.burst, &mut path, report);
            kind.ramp.validate_into(&(), &mut || path().join("ramp"), report);
            for (key, problem) in kind.faults() {
                report.append(path().join(key), problem);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::JobOptions;

    use super::*;

    #[test]
    fn only_what_is_set_changes_the_options_of_a_kind() {
        let code = JobOptions::queue("q").max_attempts(7).deadline(Duration::from_secs(30)).check().unwrap();
        let mut options = code.clone();
        KindSettings::default().apply(&mut options);
        assert_eq!(options, code);
        let settings = KindSettings {
            deadline: Some(Duration::from_secs(5)),
            backoff_cap: Some(Duration::from_secs(9)),
            group: Some(4),
            ..KindSettings::default()
        };
        settings.apply(&mut options);
        assert_eq!((options.max_attempts, options.deadline), (7, Duration::from_secs(5)));
        assert_eq!((options.backoff.cap, options.backoff.base), (Duration::from_secs(9), code.backoff.base));
        assert_eq!((options.group, options.backend_time), (4, code.backend_time));
        let mut copy = code.clone();
        KindSettings::of(&options).apply(&mut copy);
        assert_eq!(copy, options, "every option that can be set is read as well");
    }
}
