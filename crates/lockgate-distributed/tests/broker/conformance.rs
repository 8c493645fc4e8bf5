//! The broker's part of the public suite. Ledger and slots are the memory engine's: no case looks at them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_runtime::conformance::{Capabilities, Fixture};
use lockgate_runtime::memory::Memory;
use tokio::sync::RwLockReadGuard;

use crate::rabbit::{self, Place};

struct OnRabbit {
    memory: Memory,
    /// `None` where there is no server, which was said loudly: the memory engine stands in.
    rabbit: Option<(Place, RwLockReadGuard<'static, ()>)>,
}

#[async_trait]
impl Fixture for OnRabbit {
    fn engine(&self) -> Engine {
        let engine = self.memory.engine();
        match &self.rabbit {
            Some((place, _)) => Engine { broker: place.broker.clone(), ..engine },
            None => engine,
        }
    }

    async fn second(&self) -> Engine {
        let engine = self.memory.engine();
        match &self.rabbit {
            Some((place, _)) => Engine { broker: Arc::new(place.second()), ..engine },
            None => engine,
        }
    }

    fn timing(&self) -> SlotTiming {
        SlotTiming {
            ttl: Duration::from_millis(900),
            heartbeat: Duration::from_millis(150),
            clock_cap: Duration::from_millis(250),
            margin: Duration::from_millis(50),
        }
    }

    fn capabilities(&self) -> Capabilities {
        // A passive declare tells what is ready, a moment behind.
        Capabilities { virtual_time: false, counts_unsettled: false, ..Capabilities::all() }
    }

    async fn lose_slots(&self) {
        self.memory.lose_slots();
    }
}

async fn fresh() -> OnRabbit {
    let rabbit = rabbit::shared().await;
    let rabbit = rabbit.map(|(rabbit, undisturbed)| (rabbit.broker(), undisturbed));
    OnRabbit { memory: Memory::new(SlotTiming::default()), rabbit }
}

lockgate_runtime::conformance_suite!(@broker fresh ());
