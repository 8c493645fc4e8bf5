//! The ledger in PostgreSQL against the public suite of all engines, on a real server and the real clock.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

#[path = "servers/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_distributed::{Database, LOCKGATE, PostgresLedger};
use lockgate_runtime::conformance::{Capabilities, Fixture};
use lockgate_runtime::memory;

struct Store {
    /// `None`: no server, and the memory engine stands in, so that the cases can pass.
    url: Option<String>,
    engine: Engine,
}

fn timing() -> SlotTiming {
    SlotTiming {
        ttl: Duration::from_millis(900),
        heartbeat: Duration::from_millis(150),
        clock_cap: Duration::from_millis(250),
        margin: Duration::from_millis(50),
    }
}

/// The ledger under test; the other two ports are the memory engine's, and are not asked.
async fn process(url: &str) -> Engine {
    let database = Database::connect(postgres::options(url)).await.unwrap();
    database.migrate(&LOCKGATE).await.unwrap();
    Engine { ledger: Arc::new(PostgresLedger::new(database)), ..memory::engine(timing()) }
}

async fn fresh() -> Store {
    let url = postgres::database().await;
    let engine = match &url {
        Some(url) => process(url).await,
        None => memory::engine(timing()),
    };
    Store { url, engine }
}

#[async_trait]
impl Fixture for Store {
    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    async fn second(&self) -> Engine {
        match &self.url {
            Some(url) => process(url).await,
            None => self.engine.clone(),
        }
    }

    fn timing(&self) -> SlotTiming {
        timing()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { virtual_time: false, ..Capabilities::all() }
    }

    async fn lose_slots(&self) {}
}

lockgate_runtime::conformance_suite!(@ledger fresh ());
