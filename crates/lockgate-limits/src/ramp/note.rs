//! Where a limit is on its way through its ramp, as the store keeps it in the note of a change.
//!
//! A text that is not such a note is no stage: nothing is guessed.

use std::fmt;
use std::str::FromStr;

use super::Ramp;
use crate::quota::Quota;
use crate::token_store::{LimitChange, MAX_NOTE_BYTES};

/// The word that a note of a stage begins with.
const WORD: &str = "step";

/// What stands for "no rate is configured".
const NONE: &str = "none";

/// The stage of a limit, what is in force without ramp, and why it is in this stage.
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
    /// The place of the stage; the first is 0.
    pub step: usize,
    /// The quota without ramp; `None`: no rate. It is in force again when the ramp end.
    pub configured: Option<Quota>,
    /// Why the limit is in this stage, for people. Control characters are left out, and a long text is cut.
    pub reason: String,
}

impl RampState {
    /// The change that puts a limit at this version into the stage. Without ramp it is the one that ends
    /// them.
    #[must_use]
    pub fn change(&self, ramp: &Ramp, version: u64) -> LimitChange {
        let Some(stage) = ramp.step(self.step) else { return self.end(version) };
        let (quota, note) = (stage.quota(self.configured), Some(self.to_string()));
        LimitChange { quota, note, version: Some(version) }
    }

    /// The change that ends the ramp: what is configured is in force again.
    #[must_use]
    pub fn end(&self, version: u64) -> LimitChange {
        LimitChange { quota: self.configured, note: Some(String::new()), version: Some(version) }
    }
}

/// The text is not the note of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the note of a stage")]
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
