//! The public conformance suite and the model, against a real Redis.

use std::sync::Arc;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::slots::Slots;
use lockgate_core::timing::SlotTiming;
use lockgate_runtime::conformance::model::{self, Effort};
use lockgate_runtime::conformance::{Capabilities, Fixture};
use lockgate_runtime::memory;

use super::server::{Server, timing};

struct Store {
    slots: Arc<dyn Slots>,
    server: Server,
    loses: bool,
}

async fn fresh() -> Store {
    let server = Server::start().await;
    let slots = Arc::new(server.learned().await);
    Store { slots, server, loses: true }
}

async fn steady() -> Store {
    Store { loses: false, ..fresh().await }
}

/// Only the slots are under test.
fn engine(slots: Arc<dyn Slots>) -> Engine {
    Engine { name: "distributed", slots, ..memory::engine(timing()) }
}

#[async_trait]
impl Fixture for Store {
    fn engine(&self) -> Engine {
        engine(Arc::clone(&self.slots))
    }

    async fn second(&self) -> Engine {
        engine(Arc::new(self.server.slots().await))
    }

    fn timing(&self) -> SlotTiming {
        timing()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { virtual_time: false, loses_slots: self.loses, ..Capabilities::all() }
    }

    async fn lose_slots(&self) {
        redis::cmd("FLUSHALL").query_async::<()>(&mut self.server.connect().await).await.unwrap();
    }
}

lockgate_runtime::conformance_suite!(@slots fresh ());

/// Kept small: a loss, and a ttl that passes, take their time.
#[tokio::test]
async fn the_slots_do_what_the_model_does() {
    let effort = Effort { sequences: 16, calls: 30, seed: 7 };
    if let Err(broken) = model::check(effort, fresh).await {
        panic!("{broken}");
    }
}

/// Without losses there is time for many more: the order has corners that few sequences come to.
#[tokio::test]
async fn the_order_is_that_of_the_model() {
    let effort = Effort { sequences: 150, calls: 40, seed: 3 };
    if let Err(broken) = model::check(effort, steady).await {
        panic!("{broken}");
    }
}
