//! Where a limit is on its way through its stages, as the store keeps it in the note of a change.
//!
//! A text that is not such a note is no stage: nothing is guessed.

use std::fmt;
use std::str::FromStr;

use super::Stages;
use crate::chunks::{LimitChange, MAX_NOTE_BYTES};
use crate::quota::Quota;

/// The word that a note of a stage begins with.
const WORD: &str = "stage";

/// What stands for "no rate is configured".
const NONE: &str = "none";

/// The stage of a limit, what is in force without stages, and why it is in this stage.
///
/// ```
/// use lockgate_limits::{Quota, StageNote};
///
/// let configured = Some(Quota::per_second(100, 150)?);
/// let note = StageNote { place: 1, configured, why: "advanced by an operator".to_owned() };
/// assert_eq!(note.to_string(), "stage 1 100/s 150 advanced by an operator");
/// assert_eq!(note.to_string().parse(), Ok(note));
/// # Ok::<(), lockgate_limits::QuotaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageNote {
    /// The place of the stage; the first is 0.
    pub place: usize,
    /// The quota without stages; `None`: no rate. It is in force again when the stages end.
    pub configured: Option<Quota>,
    /// Why the limit is in this stage, for people. Control characters are left out, and a long text is cut.
    pub why: String,
}

impl StageNote {
    /// The change that puts a limit at this version into the stage. Without stages it is the one that ends
    /// them.
    #[must_use]
    pub fn change(&self, stages: &Stages, version: u64) -> LimitChange {
        let Some(stage) = stages.stage(self.place) else { return self.end(version) };
        let (quota, note) = (stage.quota(self.configured), Some(self.to_string()));
        LimitChange { quota, note, version: Some(version) }
    }

    /// The change that ends the stages: what is configured is in force again.
    #[must_use]
    pub fn end(&self, version: u64) -> LimitChange {
        LimitChange { quota: self.configured, note: Some(String::new()), version: Some(version) }
    }
}

/// The text is not the note of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the note of a stage")]
pub struct NoStage;

impl fmt::Display for StageNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WORD} {} ", self.place)?;
        match self.configured {
            Some(quota) => write!(f, "{} {} ", quota.rate(), quota.burst())?,
            None => write!(f, "{NONE} 0 ")?,
        }
        let printable = self.why.chars().filter(|c| !c.is_control());
        f.write_str(&printable.take(MAX_NOTE_BYTES / 8).collect::<String>())
    }
}

impl FromStr for StageNote {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        let mut parts = text.splitn(5, ' ');
        let mut next = || parts.next().ok_or(NoStage);
        if next()? != WORD {
            return Err(NoStage);
        }
        let place = next()?.parse().map_err(|_| NoStage)?;
        let (rate, burst) = (next()?, next()?.parse().map_err(|_| NoStage)?);
        let configured = if rate == NONE {
            None
        } else {
            let rate = rate.parse().map_err(|_| NoStage)?;
            Some(Quota::new(rate, burst).map_err(|_| NoStage)?)
        };
        Ok(Self { place, configured, why: next()?.to_owned() })
    }
}
