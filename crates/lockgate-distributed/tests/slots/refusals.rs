//! A Redis that refuses calls: out of memory, without replicas, busy. Such errors are transient.

use lockgate_core::EngineError;
use lockgate_core::slots::{PoolQuery, Slots};
use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::fixture::{acquire_lease, ensure, request};
use super::server::{Server, eventually};

async fn config(redis: &mut MultiplexedConnection, name: &str, value: &str) {
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async::<()>(redis).await.unwrap();
}

fn is_away<T: std::fmt::Debug>(answer: Result<T, EngineError>, code: &str) {
    let error = answer.unwrap_err();
    assert!(matches!(error, EngineError::Unavailable { .. }), "{error:?}");
    let text = lockgate_core::error::chain(&error);
    assert!(text.contains(code), "{text}");
}

#[tokio::test]
async fn server_that_refuses_writes_is_a_transient_error() {
    let Some(server) = Server::private() else { return };
    let mut redis = server.connect().await;
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    config(&mut redis, "min-replicas-to-write", "1").await;
    let late = server.slots().await;
    is_away(late.open("starting").await, "NOREPLICAS");
    is_away(late.inspect(&PoolQuery::all()).await, "NOREPLICAS");
    is_away(slots.inspect(&PoolQuery::writable()).await, "NOREPLICAS");
    config(&mut redis, "min-replicas-to-write", "0").await;
    let session = late.open("starting").await.unwrap();
    acquire_lease(&late, &session, &request("t", &[("p", 1)])).await;
}

#[tokio::test]
async fn server_that_runs_another_clients_script_is_a_transient_error() {
    let Some(server) = Server::private_with(&[("busy-reply-threshold", "50")]) else { return };
    let slots = server.initialized().await;
    ensure(&slots, "p", 1).await;
    let mut endless = server.connect().await;
    let mut script = JoinSet::new();
    script.spawn(async move {
        redis::cmd("EVAL").arg("while true do end").arg(0).query_async::<()>(&mut endless).await
    });
    let busy = eventually("the server is busy", async || slots.inspect(&PoolQuery::all()).await.err()).await;
    assert!(busy.is_transient(), "{busy:?}");
    let busy = eventually("the error is BUSY", async || {
        let error = slots.inspect(&PoolQuery::all()).await.err()?;
        lockgate_core::error::chain(&error).contains("BUSY").then_some(error)
    })
    .await;
    assert!(busy.is_transient(), "{busy:?}");
    redis::cmd("SCRIPT").arg("KILL").query_async::<()>(&mut server.connect().await).await.unwrap();
    assert!(script.join_next().await.unwrap().unwrap().is_err());
    eventually("the server answers again", async || slots.inspect(&PoolQuery::all()).await.ok()).await;
}

#[tokio::test]
async fn server_without_memory_can_be_read_but_is_not_ready() {
    let Some(server) = Server::private() else { return };
    let slots = server.initialized().await;
    let mut redis = server.connect().await;
    ensure(&slots, "p", 3).await;
    slots.inspect(&PoolQuery::writable()).await.unwrap();
    config(&mut redis, "maxmemory", "1mb").await;
    assert_eq!(slots.inspect(&PoolQuery::all()).await.unwrap().len(), 1, "`slots show` still works");
    is_away(slots.inspect(&PoolQuery::writable()).await, "maxmemory");
    config(&mut redis, "maxmemory", "0").await;
    slots.inspect(&PoolQuery::writable()).await.unwrap();
}
