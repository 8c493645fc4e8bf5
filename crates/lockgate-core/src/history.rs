//! The history of a pool: each hold that ended, and each change of its effective slots, in the order of the
//! events.
//!
//! A store keeps it by itself, in the transaction of the event, so that it is whole also when a process is
//! killed. It is bounded, and says from where on it is whole.
//!
//! Numbers define the order, never clocks: fences come from one counter of the store, and whatever ends is
//! stamped with the last number given out. So a hold of fence `f` ended before the grant of fence `g` when
//! its stamp is below `g`. Clocks say only how long something took.

use serde::{Deserialize, Serialize};

use crate::id::{Fence, LeaseId};
use crate::time::Timestamp;

/// Entries that a store keeps at least, of all its pools; it may keep some more, because it drops many at
/// once.
pub const KEPT_ENTRIES: u64 = 100_000;

/// Entries that are looked through for one page, those of other pools included.
pub const PAGE_SIZE: u64 = 1_000;

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldEnd {
    /// Its holder released it.
    Released,
    /// It drained, and somebody confirmed that its backend work was over.
    Confirmed,
    /// It drained for as long as its backend work may go on at most.
    DrainedOut,
    /// Its process ended in good order, and had no backend work that may go on.
    Closed,
    /// Its process died, and had no backend work that may go on.
    Died,
}

impl HoldEnd {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Released, Self::Confirmed, Self::DrainedOut, Self::Closed, Self::Died];

    /// As stores write it down.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Confirmed => "confirmed",
            Self::DrainedOut => "drained-out",
            Self::Closed => "closed",
            Self::Died => "died",
        }
    }
}

impl std::str::FromStr for HoldEnd {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|end| end.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no way for a hold to end"))
    }
}

/// A hold that has ended: the slots are free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EndedHold {
    /// The lease; a job's has the job's id.
    pub lease: LeaseId,
    /// The fence of the lease. It also tells when the lease was granted: see [`granted_at`].
    pub fence: Fence,
    /// Slots of this pool.
    pub weight: u32,
    /// When it was granted, by the store's clock.
    pub granted_at: Timestamp,
    /// When it ended, draining included.
    pub ended_at: Timestamp,
    /// The last number that the store had given out when it ended.
    pub number: u64,
    /// How it ended.
    pub end: HoldEnd,
}

/// A change of the slots that grants obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SlotsChange {
    /// When.
    pub at: Timestamp,
    /// The last number that the store had given out: a grant with a larger one obeyed the new limit.
    pub number: u64,
    /// The limit before.
    pub from: u32,
    /// The limit from then on.
    pub to: u32,
}

/// An entry of a pool's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryEntry {
    /// A hold that ended.
    Hold(EndedHold),
    /// The limit changed.
    Limit(SlotsChange),
}

impl HistoryEntry {
    /// The last number that had been given out by then.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self {
            Self::Hold(hold) => hold.number,
            Self::Limit(change) => change.number,
        }
    }
}

/// A point in a store's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HistoryPoint {
    /// The last number given out.
    pub number: u64,
    /// The store's clock, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A page of a pool's history, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryPage {
    /// From here on the record is whole: what ended before fell out, or was lost with the store's state.
    pub since: HistoryPoint,
    /// When the store was asked.
    pub now: HistoryPoint,
    /// At most [`PAGE_SIZE`] entries of this pool, in the order of their stamps.
    pub entries: Vec<HistoryEntry>,
    /// What to ask for the next page with; `None`: this was the last one.
    pub next: Option<u64>,
}

/// When the lease with this fence was granted: fences are the store's clock in microseconds, or a little more
/// when many are given out at once.
#[must_use]
pub fn granted_at(fence: Fence) -> Timestamp {
    Timestamp(i64::try_from(fence.0 / 1_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        for end in HoldEnd::ALL {
            assert_eq!(end.as_str().parse(), Ok(end));
            assert_eq!(serde_json::to_string(&end).unwrap(), format!("{:?}", end.as_str()));
        }
        assert!("lost".parse::<HoldEnd>().is_err());
    }

    #[test]
    fn a_fence_tells_when_it_was_given_out() {
        assert_eq!(granted_at(Fence(1_767_225_600_000_999)), Timestamp(1_767_225_600_000));
    }
}
