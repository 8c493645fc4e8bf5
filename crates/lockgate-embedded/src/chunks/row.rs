//! A limit as its row has it. It must never be read half: a column that makes no sense is an error.

use std::collections::BTreeMap;

use lockgate_limits::{ChunkBook, ChunkId, LimitStatus, OutChunk, Quota, Rate};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Reading;
use crate::columns::{integer, json, name, sql, text, to_json};

/// A limit.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) boot: String,
    pub(super) book: ChunkBook,
    pub(super) version: u64,
    pub(super) note: String,
}

impl Row {
    pub(super) fn from_columns(row: &SqliteRow) -> sqlx::Result<Self> {
        let rate: Rate = name(row, "rate")?;
        let quota = Quota::new(rate, row.try_get("burst")?);
        let out: Vec<(u64, u64, u64)> = json(row, "out")?;
        let out = out.into_iter().map(|(id, tokens, ends)| (ChunkId(id), OutChunk { tokens, ends }));
        let book = ChunkBook {
            quota: quota.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            anchor: row.try_get("anchor")?,
            issued: row.try_get("issued")?,
            next: row.try_get("next_chunk")?,
            out: out.collect::<BTreeMap<_, _>>(),
        };
        let (name, boot, note) = (text(row, "name")?, text(row, "boot")?, text(row, "note")?);
        Ok(Self { name, boot, book, version: row.try_get("version")?, note })
    }

    /// The limit in this start of the host.
    pub(super) fn at(self, at: &Reading) -> Self {
        if self.boot == at.boot {
            return self;
        }
        Self { boot: at.boot.clone(), book: self.book.emptied(at.nanos), ..self }
    }

    pub(super) fn status(&self, at: &Reading) -> LimitStatus {
        LimitStatus {
            name: self.name.clone(),
            quota: self.book.quota,
            version: self.version,
            tokens: self.book.tokens(at.nanos),
            out: self.book.held(),
            note: self.note.clone(),
        }
    }

    pub(super) async fn save(&self, tx: &mut SqliteConnection) -> sqlx::Result<()> {
        let book = &self.book;
        let out: Vec<_> = book.out.iter().map(|(id, chunk)| (id.0, chunk.tokens, chunk.ends)).collect();
        sqlx::query(sql!("chunks/save_limit"))
            .bind(&self.name)
            .bind(&self.boot)
            .bind(book.quota.rate().to_string())
            .bind(book.quota.burst())
            .bind(integer(book.anchor))
            .bind(integer(book.issued))
            .bind(integer(book.next))
            .bind(to_json(&out)?)
            .bind(integer(self.version))
            .bind(&self.note)
            .execute(tx)
            .await
            .map(drop)
    }
}
