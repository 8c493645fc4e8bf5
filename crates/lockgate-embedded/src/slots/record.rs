//! The record: holds that ended and changes of limits, in rows that are only added.
//!
//! It must never be written but in the transaction of the event itself.

use lockgate_core::error::EngineError;
use lockgate_core::history::{
    EndedHold, HistoryEntry, HistoryPage, HistoryPoint, HoldEnd, KEPT_ENTRIES, PAGE_SIZE, SlotsChange,
    granted_at,
};
use lockgate_core::{Fence, LeaseId, PoolName, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::desk::Desk;
use crate::columns::{integer, name, sql, to_json};
use crate::database::Doing;

/// So many rows are added before the oldest are looked for and forgotten.
const AT_ONCE: i64 = 1_000;

impl Desk<'_> {
    /// Ends holds: they are on record, and their slots are free. Without an `end` their holder released them, or, when
    /// they drained, somebody confirmed that their work was over.
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
            .execute(&mut *self.tx)
            .await?;
        sqlx::query(sql!("slots/free_leases")).bind(&ids).execute(&mut *self.tx).await?;
        let rows = integer(added.rows_affected());
        if added.last_insert_rowid().rem_euclid(AT_ONCE) < rows {
            self.shorten_record(KEPT_ENTRIES).await?;
        }
        Ok(())
    }

    /// The limit of a pool changed.
    pub(super) async fn record_limit(&mut self, pool: &PoolName, from: u32, to: u32) -> sqlx::Result<()> {
        if from == to {
            return Ok(());
        }
        let HistoryPoint { number, at_ms } = self.moment();
        sqlx::query(sql!("slots/record_limit"))
            .bind(pool.as_str())
            .bind(at_ms)
            .bind(integer(number))
            .bind(from)
            .bind(to)
            .execute(&mut *self.tx)
            .await
            .map(drop)
    }

    /// The state was lost, and with it what ended meanwhile.
    pub(super) async fn begin_record(&mut self) -> sqlx::Result<()> {
        let HistoryPoint { number, at_ms } = self.moment();
        let begin = sqlx::query(sql!("slots/begin_record")).bind(at_ms).bind(integer(number));
        begin.execute(&mut *self.tx).await?;
        sqlx::query(sql!("slots/prune_record")).execute(&mut *self.tx).await.map(drop)
    }

    /// What was granted up to this fence was granted before the record began.
    pub(super) async fn raise_record(&mut self, fence: Fence) -> sqlx::Result<()> {
        let raise = sqlx::query(sql!("slots/raise_record")).bind(integer(fence.0));
        raise.execute(&mut *self.tx).await.map(drop)
    }

    async fn shorten_record(&mut self, kept: u64) -> sqlx::Result<()> {
        sqlx::query(sql!("slots/shorten_record")).bind(integer(kept)).execute(&mut *self.tx).await?;
        sqlx::query(sql!("slots/prune_record")).execute(&mut *self.tx).await.map(drop)
    }

    /// A page of a pool's record, from behind this row.
    pub(super) async fn record_page(
        &mut self,
        pool: &PoolName,
        after: u64,
    ) -> Result<HistoryPage, EngineError> {
        self.read_page(pool, after).await.doing("reading the record of a pool")
    }

    async fn read_page(&mut self, pool: &PoolName, after: u64) -> sqlx::Result<HistoryPage> {
        let start = sqlx::query(sql!("slots/record_start")).fetch_one(&mut *self.tx).await?;
        let since = HistoryPoint { number: start.try_get("number")?, at_ms: start.try_get("at")? };
        let after = after.max(start.try_get("serial")?);
        let end = after.saturating_add(PAGE_SIZE);
        let rows = sqlx::query(sql!("slots/record_page"))
            .bind(pool.as_str())
            .bind(integer(after))
            .bind(integer(end))
            .fetch_all(&mut *self.tx)
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
        lease: name(row, "lease")?,
        fence,
        weight: row.try_get("weight")?,
        granted_at: granted_at(fence),
        ended_at: at,
        number,
        end: end.parse().map_err(|error: String| sqlx::Error::Decode(error.into()))?,
    }))
}
