//! Where a limit stands on its way through stages, as the store remembers it in the note of a change.
//!
//! It must never be guessed: a note that is none is no stage.

use std::fmt;
use std::str::FromStr;

use crate::chunks::MAX_NOTE_BYTES;

/// The word that a note of a stage begins with.
const WORD: &str = "stage";

/// Where it stands, since when, and why.
///
/// ```
/// use lockgate_limits::StageNote;
///
/// let note = StageNote { place: 1, since: 1_764_000_000_000, why: "advanced by an operator".to_owned() };
/// assert_eq!(note.to_string(), "stage 1 1764000000000 advanced by an operator");
/// assert_eq!(note.to_string().parse(), Ok(note));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageNote {
    /// The place of the stage; the first is 0.
    pub place: usize,
    /// When it began, in milliseconds since 1970, by the clock of whoever moved it: to show, not to decide by.
    /// 0: it was a worker, which has no clock to show.
    pub since: u64,
    /// Why it was moved there.
    pub why: String,
}

/// The note is not one of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the note of a stage")]
pub struct NoStage;

impl fmt::Display for StageNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why: String = self.why.chars().filter(|c| !c.is_control()).take(MAX_NOTE_BYTES / 8).collect();
        write!(f, "{WORD} {} {} {why}", self.place, self.since)
    }
}

impl FromStr for StageNote {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        let mut parts = text.splitn(4, ' ');
        let mut next = || parts.next().ok_or(NoStage);
        if next()? != WORD {
            return Err(NoStage);
        }
        let place = next()?.parse().map_err(|_| NoStage)?;
        let since = next()?.parse().map_err(|_| NoStage)?;
        Ok(Self { place, since, why: next()?.to_owned() })
    }
}
