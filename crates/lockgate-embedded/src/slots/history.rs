//! The history of holds that ended and of changes of a pool's slots, in rows that are only appended.
//!
//! An entry is written in the transaction of its event, so the history has no gaps.

use lockgate_core::error::EngineError;
use lockgate_core::history::{
    EndedHold, HistoryEntry, HistoryPage, HistoryPoint, HoldEnd, KEPT_ENTRIES, PAGE_SIZE, SlotsChange,
    granted_at,
};
use lockgate_core::{Fence, LeaseId, PoolName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::transaction::SlotTransaction;
use crate::columns::{integer, parsed, sql, to_json};
use crate::database::Doing;

/// The history is trimmed once every this many rows.
const TRIM_INTERVAL: i64 = 1_000;

impl SlotTransaction<'_> {
    /// Ends holds: adds them to the history and frees their slots. `end` is the cause; `None` means that the
    /// holder released them or, for draining ones, that the end of their backend work was confirmed.
    pub(super) async fn end_holds(&mut self, ids: &[LeaseId], end: Option<HoldEnd>) -> sqlx::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = to_json(ids)?;
        let added = sqlx::query(sql!("slots/record_holds"))
            .bind(&ids)
            .bind(self.moment().at_ms)
            .bind(integer(self.moment().number))
            .bind(end.map(HoldEnd::as_str))
            .execute(&mut *self.connection)
            .await?;
        sqlx::query(sql!("slots/free_leases")).bind(&ids).execute(&mut *self.connection).await?;
        let rows = integer(added.rows_affected());
        if added.last_insert_rowid().rem_euclid(TRIM_INTERVAL) < rows {
            self.trim_history(KEPT_ENTRIES).await?;
        }
        Ok(())
    }

    /// Adds a change of a pool's slots to the history.
    pub(super) async fn record_slots_change(
        &mut self,
        pool: &PoolName,
        from: u32,
        to: u32,
    ) -> sqlx::Result<()> {
        if from == to {
            return Ok(());
        }
        let HistoryPoint { number, at_ms } = self.moment();
        sqlx::query(sql!("slots/record_slots_change"))
            .bind(pool.as_str())
            .bind(at_ms)
            .bind(integer(number))
            .bind(from)
            .bind(to)
            .execute(&mut *self.connection)
            .await
            .map(drop)
    }

    /// Starts the history anew after a loss of state, because holds that ended in between are unknown.
    pub(super) async fn restart_history(&mut self) -> sqlx::Result<()> {
        let HistoryPoint { number, at_ms } = self.moment();
        let begin = sqlx::query(sql!("slots/restart_history")).bind(at_ms).bind(integer(number));
        begin.execute(&mut *self.connection).await?;
        sqlx::query(sql!("slots/prune_history")).execute(&mut *self.connection).await.map(drop)
    }

    /// Records that grants up to this fence precede the history.
    pub(super) async fn raise_history_start(&mut self, fence: Fence) -> sqlx::Result<()> {
        let raise = sqlx::query(sql!("slots/raise_history_start")).bind(integer(fence.0));
        raise.execute(&mut *self.connection).await.map(drop)
    }

    /// Deletes the oldest rows so that `kept` remain.
    async fn trim_history(&mut self, kept: u64) -> sqlx::Result<()> {
        sqlx::query(sql!("slots/trim_history")).bind(integer(kept)).execute(&mut *self.connection).await?;
        sqlx::query(sql!("slots/prune_history")).execute(&mut *self.connection).await.map(drop)
    }

    /// Returns a page of a pool's history, beginning after the row with the serial `after`.
    pub(super) async fn history_page(
        &mut self,
        pool: &PoolName,
        after: u64,
    ) -> Result<HistoryPage, EngineError> {
        self.read_history(pool, after).await.doing("reading the history of a pool")
    }

    async fn read_history(&mut self, pool: &PoolName, after: u64) -> sqlx::Result<HistoryPage> {
        let start = sqlx::query(sql!("slots/history_start")).fetch_one(&mut *self.connection).await?;
        let since = HistoryPoint { number: start.try_get("number")?, at_ms: start.try_get("at")? };
        let after = after.max(start.try_get("serial")?);
        let end = after.saturating_add(PAGE_SIZE);
        let rows = sqlx::query(sql!("slots/history_page"))
            .bind(pool.as_str())
            .bind(integer(after))
            .bind(integer(end))
            .fetch_all(&mut *self.connection)
            .await?;
        let entries = rows.iter().map(entry).collect::<sqlx::Result<_>>()?;
        let next = (end < start.try_get("last")?).then_some(end);
        Ok(HistoryPage { since, now: self.moment(), entries, next })
    }
}

fn entry(row: &SqliteRow) -> sqlx::Result<HistoryEntry> {
    let (at, number) = (Timestamp(row.try_get("at")?), row.try_get("number")?);
    if let Some(from) = row.try_get::<Option<u32>, _>("from_slots")? {
        return Ok(HistoryEntry::Limit(SlotsChange { at, number, from, to: row.try_get("to_slots")? }));
    }
    let fence = Fence(row.try_get("fence")?);
    let end: String = row.try_get("ended")?;
    Ok(HistoryEntry::Hold(EndedHold {
        lease: parsed(row, "lease")?,
        fence,
        weight: row.try_get("weight")?,
        granted_at: granted_at(fence),
        ended_at: at,
        number,
        end: end.parse().map_err(|error: String| sqlx::Error::Decode(error.into()))?,
    }))
}
