//! What happens between one worker and a server, while the others have no trouble: reset, silence, and a commit whose
//! answer is lost.

use std::time::Duration;

use rustix::process::Signal;
use support::proxy::{Fault, Proxy};
use support::wait::eventually;
use support::{Context, Result};

use super::outage;
use super::scene::{Scene, Stage, lasts};

const SOON: Duration = Duration::from_secs(30);

/// A server, as the far end of a connection.
#[derive(Debug, Clone, Copy)]
enum Server {
    Postgres,
    RabbitMq,
    Redis,
}

impl Server {
    /// The key of the config that says where it is, and the place.
    fn place(self, scene: &Scene) -> Result<(&'static str, String)> {
        Ok(match self {
            Self::Postgres => ("distributed.postgres.url", scene.postgres.url()),
            Self::RabbitMq => ("distributed.amqp.url", scene.broker.url()?),
            Self::Redis => ("distributed.redis.url", scene.redis.url()),
        })
    }

    /// How soon a worker is to work again when it can reach the server again.
    fn back(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::RabbitMq) { 10 } else { 5 })
    }
}

/// A run with three workers, of which the first reaches one server through a proxy.
fn through_a_proxy(server: Server) -> Result<Option<(Scene, Proxy)>> {
    let Some(mut scene) = Scene::set(Stage::default())? else { return Ok(None) };
    let (key, url) = server.place(&scene)?;
    let port = url.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
    let proxy = Proxy::to(port.context("a url without a port")?)?;
    scene.enqueue()?;
    scene.work(&["--set", &format!("{key}={}", proxy.url(&url)?)])?;
    scene.work(&[])?;
    scene.work(&[])?;
    eventually("the first worker is connected", SOON, || Ok((proxy.open() > 0).then_some(())))?;
    scene.some_more_is_done(60, SOON)?;
    Ok(Some((scene, proxy)))
}

/// The first worker can reach everything again: alone, it works on and brings the run to its end.
fn the_first_worker_goes_on(mut scene: Scene, server: Server) -> Result {
    for mut other in scene.workers.drain(1..) {
        other.signal(Signal::TERM)?;
        other.wait(SOON)?;
    }
    scene.is_back_at_work_within(server.back())?;
    scene.ends_well()
}

fn outlives_a_reset(server: Server) -> Result {
    let Some((scene, proxy)) = through_a_proxy(server)? else { return Ok(()) };
    let before = proxy.accepted();
    proxy.set(Fault::Reset);
    eventually("every connection is gone", SOON, || Ok((proxy.open() == 0).then_some(())))?;
    proxy.set(Fault::None);
    eventually("it connects again", server.back(), || Ok((proxy.accepted() > before).then_some(())))?;
    the_first_worker_goes_on(scene, server)
}

fn outlives_silence(server: Server) -> Result {
    let Some((scene, proxy)) = through_a_proxy(server)? else { return Ok(()) };
    proxy.set(Fault::BlackHole);
    lasts(outage(Duration::from_secs(6), Duration::from_secs(40)))?;
    // The others went on, and were granted what the silent one could not keep: not one more than there are.
    scene.backend_agrees()?;
    proxy.set(Fault::None);
    the_first_worker_goes_on(scene, server)
}

#[test]
fn a_worker_outlives_a_reset_of_its_connections_to_the_ledger() -> Result {
    outlives_a_reset(Server::Postgres)
}

#[test]
fn a_worker_outlives_a_reset_of_its_connections_to_the_broker() -> Result {
    outlives_a_reset(Server::RabbitMq)
}

#[test]
fn a_worker_outlives_a_reset_of_its_connections_to_the_slots() -> Result {
    outlives_a_reset(Server::Redis)
}

#[test]
fn a_worker_outlives_silence_of_the_ledger() -> Result {
    outlives_silence(Server::Postgres)
}

#[test]
fn a_worker_outlives_silence_of_the_broker() -> Result {
    outlives_silence(Server::RabbitMq)
}

#[test]
fn a_worker_outlives_silence_of_the_slots() -> Result {
    outlives_silence(Server::Redis)
}

#[test]
fn a_commit_whose_answer_is_lost_counts_once() -> Result {
    let Some((scene, proxy)) = through_a_proxy(Server::Postgres)? else { return Ok(()) };
    for cut in 1..=10 {
        proxy.set(Fault::CutAfter(b"COMMIT"));
        eventually("a commit loses its answer", SOON, || Ok((proxy.cuts() == cut).then_some(())))?;
    }
    the_first_worker_goes_on(scene, Server::Postgres)
}
