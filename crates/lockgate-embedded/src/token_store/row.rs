//! The row of a rate limit. A column that makes no sense is an error.

use std::collections::BTreeMap;

use lockgate_limits::{
    BucketState, LimitState, LimitStatus, OutstandingBatch, Quota, Rate, Samples, TokenBatchId,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::Reading;
use crate::columns::{integer, json, parsed, sql, text, to_json};

/// A rate limit as it is stored.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) boot: String,
    pub(super) state: LimitState,
}

impl Row {
    pub(super) fn from_columns(row: &SqliteRow) -> sqlx::Result<Self> {
        let rate: Rate = parsed(row, "rate")?;
        let quota = Quota::new(rate, row.try_get("burst")?);
        let out: Vec<(u64, u64, u64)> = json(row, "outstanding")?;
        let out = out
            .into_iter()
            .map(|(id, tokens, ends)| (TokenBatchId(id), OutstandingBatch { tokens, expires_at: ends }));
        let bucket = BucketState {
            quota: quota.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            anchor: row.try_get("anchor")?,
            issued: row.try_get("issued")?,
            next_batch: row.try_get("next_batch")?,
            outstanding: out.collect::<BTreeMap<_, _>>(),
        };
        let state = LimitState {
            bucket,
            is_limited: row.try_get("is_limited")?,
            version: row.try_get("version")?,
            note: text(row, "note")?,
            changed_at: row.try_get("changed_at")?,
            samples: Samples {
                ended: row.try_get("ended")?,
                failed: row.try_get("failed")?,
                slow: row.try_get("slow")?,
            },
        };
        Ok(Self { name: text(row, "name")?, boot: text(row, "boot")?, state })
    }

    /// Returns the limit as of this boot. A row of an older boot starts with an empty bucket.
    pub(super) fn at(self, at: &Reading) -> Self {
        if self.boot == at.boot {
            return self;
        }
        Self { boot: at.boot.clone(), state: self.state.emptied(at.nanos), ..self }
    }

    pub(super) fn status(&self, at: &Reading) -> LimitStatus {
        self.state.status(&self.name, at.nanos)
    }

    pub(super) async fn save(&self, tx: &mut SqliteConnection) -> sqlx::Result<()> {
        let LimitState { bucket, is_limited, version, note, changed_at, samples } = &self.state;
        let out: Vec<_> =
            bucket.outstanding.iter().map(|(id, batch)| (id.0, batch.tokens, batch.expires_at)).collect();
        sqlx::query(sql!("token_store/save_limit"))
            .bind(&self.name)
            .bind(&self.boot)
            .bind(bucket.quota.rate().to_string())
            .bind(bucket.quota.burst())
            .bind(integer(bucket.anchor))
            .bind(integer(bucket.issued))
            .bind(integer(bucket.next_batch))
            .bind(to_json(&out)?)
            .bind(integer(*version))
            .bind(note)
            .bind(is_limited)
            .bind(integer(*changed_at))
            .bind(integer(samples.ended))
            .bind(integer(samples.failed))
            .bind(integer(samples.slow))
            .execute(tx)
            .await
            .map(drop)
    }
}
