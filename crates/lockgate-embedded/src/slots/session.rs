//! Opens and closes sessions, and deletes all state for tests.
//!
//! Closing a session does not free a lease whose work may still run at the backend. Such a lease drains.

use async_trait::async_trait;
use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::history::HoldEnd;
use sqlx::SqliteConnection;

use super::transaction::{Caller, Operation, SlotTransaction};
use crate::columns::sql;
use crate::database::{Doing, Write};

/// Opens a session, which the renewal of its caller creates.
pub(super) struct OpenSession {
    pub(super) caller: Caller,
}

#[async_trait]
impl Operation for OpenSession {
    type Output = ();

    fn renews(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    async fn run(&self, _tx: &mut SlotTransaction<'_>) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Closes a session.
pub(super) struct CloseSession {
    pub(super) session: SessionId,
}

#[async_trait]
impl Operation for CloseSession {
    type Output = ();

    async fn run(&self, tx: &mut SlotTransaction<'_>) -> Result<(), EngineError> {
        let doing = "closing a session";
        tx.end_sessions(&[self.session.to_string()], HoldEnd::Closed).await.doing(doing)?;
        tx.grant().await.doing(doing)
    }
}

/// Deletes all state of the slots, as a store that lost it. For tests.
pub(crate) struct ForgetSlots;

#[async_trait]
impl Write for ForgetSlots {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        for delete in [
            sql!("slots/forget_store"),
            sql!("slots/forget_pools"),
            sql!("slots/forget_shares"),
            sql!("slots/forget_sessions"),
            sql!("slots/forget_leases"),
            sql!("slots/forget_waiters"),
        ] {
            sqlx::query(delete).execute(&mut *tx).await.doing("deleting the state of the slots")?;
        }
        Ok(())
    }
}
