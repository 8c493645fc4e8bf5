//! Runs the public conformance suite of all engines on the embedded engine, with real files and the real
//! clock.

#![expect(clippy::unwrap_used, reason = "these are tests, their helpers included")]

use std::time::Duration;

use async_trait::async_trait;
use lockgate_core::Engine;
use lockgate_core::timing::SlotTiming;
use lockgate_embedded::{Embedded, Options, open};
use lockgate_runtime::conformance::model::{self, Effort};
use lockgate_runtime::conformance::{Capabilities, Fixture};
use tempfile::TempDir;

struct File {
    folder: TempDir,
    embedded: Embedded,
}

fn timing() -> SlotTiming {
    SlotTiming {
        ttl: Duration::from_millis(900),
        heartbeat: Duration::from_millis(150),
        clock_cap: Duration::from_millis(250),
        margin: Duration::from_millis(50),
    }
}

fn options(folder: &TempDir) -> Options {
    Options { timing: timing(), ..Options::new(folder.path().join("lockgate.db")) }
}

async fn fresh() -> File {
    let folder = tempfile::tempdir().unwrap();
    let embedded = open(options(&folder)).await.unwrap();
    File { folder, embedded }
}

#[async_trait]
impl Fixture for File {
    fn engine(&self) -> Engine {
        self.embedded.engine.clone()
    }

    async fn second(&self) -> Engine {
        open(options(&self.folder)).await.unwrap().engine
    }

    fn timing(&self) -> SlotTiming {
        timing()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { virtual_time: false, ..Capabilities::all() }
    }

    async fn step_clock(&self, off_by_seconds: i64) {
        self.embedded.database.step_wall_clock(off_by_seconds * 1_000);
    }

    async fn lose_slots(&self) {
        self.embedded.database.forget_slots().await.unwrap();
    }
}

lockgate_runtime::conformance_suite!(fresh);

/// Few sequences, because each one creates a file and each call is a write transaction.
#[tokio::test]
async fn slots_behave_like_the_model() {
    let effort = Effort { sequences: 16, calls: 30, seed: 7 };
    if let Err(broken) = model::check(effort, fresh).await {
        panic!("{broken}");
    }
}
