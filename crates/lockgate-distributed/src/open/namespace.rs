//! Whether a namespace is new. An empty slot store alone cannot tell: it may have lost what it had, and then it must grant
//! nothing until all holders have spoken. The ledger, which does not forget, can.
//!
//! It must never found twice: the ledger is told first, so that a crash between the two costs a time of recovering.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::PgConnection;

use super::OpenError;
use crate::columns::sql;
use crate::database::{self, Database, Doing, Work};
use crate::slots::RedisSlots;
use crate::token_store::RedisTokenStore;

/// Founds slots and limits when the ledger has never heard of the namespace.
pub(super) async fn found(
    database: &Database,
    (slots, chunks): (&RedisSlots, &RedisTokenStore),
    namespace: &str,
) -> Result<(), OpenError> {
    let found = Found { namespace };
    let new = database.transact(DOING, &found).await;
    let new = new.map_err(|error| database::OpenError::from_store(database.place(), error))?;
    if new {
        chunks.found().await.map_err(OpenError::Slots)?;
    }
    if new && slots.found().await.map_err(OpenError::Slots)? {
        tracing::info!(namespace, "a new namespace of slots and queues");
    }
    Ok(())
}

const DOING: &str = "writing down the namespace";

struct Found<'a> {
    namespace: &'a str,
}

#[async_trait]
impl Work for Found<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut PgConnection) -> Result<bool, EngineError> {
        let made = sqlx::query(sql!("namespaces/found"))
            .bind(self.namespace)
            .execute(connection)
            .await
            .doing(DOING)?;
        Ok(made.rows_affected() == 1)
    }
}
