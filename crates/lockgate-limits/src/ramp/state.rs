//! The position of a limit in its ramp, as stored in the note of a change.
//!
//! A text that does not parse as such a note means that the limit is in no step.

use std::fmt;
use std::str::FromStr;

use super::Ramp;
use crate::quota::Quota;
use crate::token_store::{LimitChange, MAX_NOTE_BYTES};

/// The first word of the note.
const WORD: &str = "step";

/// Written instead of a rate if none is configured.
const NONE: &str = "none";

/// The ramp step of a limit, the quota that is configured without the ramp, and why the limit is in this
/// step.
///
/// ```
/// use lockgate_limits::{Quota, RampState};
///
/// let configured = Some(Quota::per_second(100, 150)?);
/// let note = RampState { step: 1, configured, reason: "advanced by an operator".to_owned() };
/// assert_eq!(note.to_string(), "step 1 100/s 150 advanced by an operator");
/// assert_eq!(note.to_string().parse(), Ok(note));
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampState {
    /// The index of the step, starting at 0.
    pub step: usize,
    /// The quota that is in force again when the ramp ends. `None`: no rate.
    pub configured: Option<Quota>,
    /// Why the limit is in this step, for people. Control characters are removed, and a long text is cut.
    pub reason: String,
}

impl RampState {
    /// Returns the change that puts a limit at this version into the step. If the ramp has no steps, it is
    /// the change that ends the ramp.
    #[must_use]
    pub fn change(&self, ramp: &Ramp, version: u64) -> LimitChange {
        let Some(step) = ramp.step(self.step) else { return self.end(version) };
        let (quota, note) = (step.quota(self.configured), Some(self.to_string()));
        LimitChange { quota, note, version: Some(version) }
    }

    /// Returns the change that ends the ramp: the configured quota is in force again.
    #[must_use]
    pub fn end(&self, version: u64) -> LimitChange {
        LimitChange { quota: self.configured, note: Some(String::new()), version: Some(version) }
    }
}

/// The text does not describe a ramp step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the state of a ramp")]
pub struct ParseRampStateError;

impl fmt::Display for RampState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {} ", self.step)?;
        match self.configured {
            Some(quota) => write!(f, "{} {} ", quota.rate(), quota.burst())?,
            None => write!(f, "{NONE} 0 ")?,
        }
        let printable = self.reason.chars().filter(|c| !c.is_control());
        f.write_str(&printable.take(MAX_NOTE_BYTES / 8).collect::<String>())
    }
}

impl FromStr for RampState {
    type Err = ParseRampStateError;

    fn from_str(text: &str) -> Result<Self, ParseRampStateError> {
        let mut parts = text.splitn(5, ' ');
        let mut next = || parts.next().ok_or(ParseRampStateError);
        if next()? != WORD {
            return Err(ParseRampStateError);
        }
        let step = next()?.parse().map_err(|_| ParseRampStateError)?;
        let (rate, burst) = (next()?, next()?.parse().map_err(|_| ParseRampStateError)?);
        let configured = if rate == NONE {
            None
        } else {
            let rate = rate.parse().map_err(|_| ParseRampStateError)?;
            Some(Quota::new(rate, burst).map_err(|_| ParseRampStateError)?)
        };
        Ok(Self { step, configured, reason: next()?.to_owned() })
    }
}
