//! The beginning and the end of sessions, and the end of everything.
//!
//! It must never free what may still run at the backend: that drains.

use async_trait::async_trait;
use lockgate_core::SessionId;
use lockgate_core::error::EngineError;
use lockgate_core::history::HoldEnd;
use sqlx::SqliteConnection;

use super::desk::{Caller, Desk, Operation};
use crate::columns::sql;
use crate::database::{Doing, Write};

/// Opens a session.
pub(super) struct Open {
    pub(super) caller: Caller,
}

#[async_trait]
impl Operation for Open {
    type Answer = ();

    fn renews(&self) -> Option<&Caller> {
        Some(&self.caller)
    }

    async fn run(&self, _desk: &mut Desk<'_>) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Ends a session.
pub(super) struct Close {
    pub(super) session: SessionId,
}

#[async_trait]
impl Operation for Close {
    type Answer = ();

    async fn run(&self, desk: &mut Desk<'_>) -> Result<(), EngineError> {
        let doing = "closing a session";
        desk.end_sessions(&[self.session.to_string()], HoldEnd::Closed).await.doing(doing)?;
        desk.grant().await.doing(doing)
    }
}

/// Forgets all slots, as a store that lost its state.
pub(crate) struct Forget;

#[async_trait]
impl Write for Forget {
    type Output = ();

    async fn run(&self, tx: &mut SqliteConnection) -> Result<(), EngineError> {
        for forget in [
            sql!("slots/forget"),
            sql!("slots/forget_pools"),
            sql!("slots/forget_shares"),
            sql!("slots/forget_sessions"),
            sql!("slots/forget_leases"),
            sql!("slots/forget_waiters"),
        ] {
            sqlx::query(forget).execute(&mut *tx).await.doing("forgetting slots")?;
        }
        Ok(())
    }
}
