//! Reads the history of a pool: holds that ended and changes of its slots. Only scripts write it.

use lockgate_core::error::EngineError;
use lockgate_core::history::{EndedHold, HistoryEntry, HistoryPage, HistoryPoint, SlotsChange, granted_at};
use lockgate_core::{PoolName, Timestamp};
use redis::Value;

use super::reply::{self, Row, unexpected};

const DOING: &str = "reading the record of a pool";

/// Decodes a page of the history, or `None` when none was requested.
pub(super) fn page(answer: Value) -> Result<Option<HistoryPage>, EngineError> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let mut row = reply::row(DOING, answer)?;
    let (since, now) = (moment(&mut row)?, moment(&mut row)?);
    let entries = reply::rows(DOING, row.value())?.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(Some(HistoryPage { since, now, entries, next: row.optional()? }))
}

fn moment(row: &mut Row) -> Result<HistoryPoint, EngineError> {
    Ok(HistoryPoint { number: row.number()?, at_ms: row.integer()? })
}

fn entry(mut row: Row) -> Result<HistoryEntry, EngineError> {
    match row.text()?.as_str() {
        "h" => {
            let (lease, number, fence) = (row.parsed()?, row.number()?, row.fence()?);
            let (ended_at, end) = (Timestamp(row.integer()?), row.parsed()?);
            let (weight, granted_at) = (row.number()?, granted_at(fence));
            Ok(HistoryEntry::Hold(EndedHold { lease, fence, weight, granted_at, ended_at, number, end }))
        }
        "l" => {
            row.parsed::<PoolName>()?;
            let (number, from) = (row.number()?, row.number()?);
            Ok(HistoryEntry::Limit(SlotsChange {
                at: Timestamp(row.integer()?),
                number,
                from,
                to: row.number()?,
            }))
        }
        other => Err(unexpected(DOING, other)),
    }
}
