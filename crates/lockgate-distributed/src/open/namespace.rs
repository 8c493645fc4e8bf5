//! Initializes slots and limits of a new namespace. An empty slot store may have lost its state, and then it
//! must grant nothing until all holders have registered again. Only the ledger, which does not lose state,
//! knows whether the namespace is new.
//!
//! The ledger is written first. A crash before the stores are initialized costs a recovery grace period, but
//! a namespace is never initialized twice.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::PgConnection;

use super::OpenError;
use crate::columns::sql;
use crate::database::{self, Database, Doing, Work};
use crate::slots::RedisSlots;
use crate::token_store::RedisTokenStore;

/// Initializes slots and limits when the ledger does not know the namespace.
pub(super) async fn initialize(
    database: &Database,
    (slots, tokens): (&RedisSlots, &RedisTokenStore),
    namespace: &str,
) -> Result<(), OpenError> {
    let insert = InsertNamespace { namespace };
    let new = database.transact(DOING, &insert).await;
    let new = new.map_err(|error| database::OpenError::from_store(database.place(), error))?;
    if new {
        tokens.initialize().await.map_err(OpenError::Slots)?;
    }
    if new && slots.initialize().await.map_err(OpenError::Slots)? {
        tracing::info!(namespace, "namespace of slots and queues initialized");
    }
    Ok(())
}

const DOING: &str = "recording the namespace";

struct InsertNamespace<'a> {
    namespace: &'a str,
}

#[async_trait]
impl Work for InsertNamespace<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut PgConnection) -> Result<bool, EngineError> {
        let inserted = sqlx::query(sql!("namespaces/insert_namespace"))
            .bind(self.namespace)
            .execute(connection)
            .await
            .doing(DOING)?;
        Ok(inserted.rows_affected() == 1)
    }
}
