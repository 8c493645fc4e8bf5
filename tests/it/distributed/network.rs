//! What happens between one worker and a server, while the others have no trouble: reset, silence, and a commit whose
//! answer is lost.

use std::time::Duration;

use rustix::process::Signal;
use support::proxy::{Fault, Proxy};
use support::wait::eventually;
use support::{Context, Result, usual_or_nightly};

use super::scene::{Scene, Stage, lasts};

const SOON: Duration = Duration::from_secs(30);

const SERVERS: [Server; 3] = [Server::Postgres, Server::RabbitMq, Server::Redis];

/// A server, as the far end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// A run with three workers, of which the first reaches each server through a proxy.
struct Cut {
    scene: Scene,
    proxies: Vec<(Server, Proxy)>,
}

impl Cut {
    /// The others go on through all of the outages, and must leave something to do: 100 organizations a second are
    /// dispatched.
    fn set(outages: Duration) -> Result<Option<Self>> {
        let organizations = 1_000 + 100 * u32::try_from(outages.as_secs())?;
        let stage = Stage { organizations, ..Stage::default() };
        let Some(mut scene) = Scene::set(stage)? else { return Ok(None) };
        let (mut proxies, mut flags) = (Vec::new(), Vec::new());
        for server in SERVERS {
            let (key, url) = server.place(&scene)?;
            let port =
                url.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
            let proxy = Proxy::to(port.context("a url without a port")?)?;
            flags.extend(["--set".to_owned(), format!("{key}={}", proxy.url(&url)?)]);
            proxies.push((server, proxy));
        }
        scene.enqueue()?;
        scene.work(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        let cut = Self { scene, proxies };
        for (server, proxy) in &cut.proxies {
            eventually(&format!("it is connected to {server:?}"), SOON, || {
                Ok((proxy.open() > 0).then_some(()))
            })?;
        }
        cut.scene.some_more_is_done(40, SOON)?;
        Ok(Some(cut))
    }

    /// The first worker can reach everything again: alone, it works on.
    fn the_first_worker_goes_on(&mut self, server: Server) -> Result {
        for mut other in self.scene.workers.drain(1..) {
            other.signal(Signal::TERM)?;
            other.wait(SOON)?;
        }
        self.scene.has_much_to_do()?;
        let back = Duration::from_secs(if server == Server::RabbitMq { 10 } else { 5 });
        self.scene.is_back_at_work_within(back).with_context(|| format!("after a fault of {server:?}"))
    }
}

#[test]
fn a_worker_outlives_resets_of_its_connections_to_each_server() -> Result {
    let Some(mut cut) = Cut::set(Duration::ZERO)? else { return Ok(()) };
    for (at, server) in SERVERS.into_iter().enumerate() {
        let proxy = &cut.proxies[at].1;
        proxy.set(Fault::Reset);
        eventually("every connection is gone", SOON, || Ok((proxy.open() == 0).then_some(())))?;
        proxy.set(Fault::None);
        cut.the_first_worker_goes_on(server)?;
    }
    cut.scene.ends_well()
}

#[test]
fn a_worker_outlives_silence_of_each_server_while_others_go_on() -> Result {
    let silence = usual_or_nightly(Duration::from_secs(5), Duration::from_secs(40));
    let Some(mut cut) = Cut::set(silence * 3)? else { return Ok(()) };
    for (at, server) in SERVERS.into_iter().enumerate() {
        cut.scene.work(&[])?;
        cut.scene.work(&[])?;
        cut.proxies[at].1.set(Fault::BlackHole);
        lasts(silence)?;
        // The others went on, and were granted what the silent one could not keep: not one more than there are.
        cut.scene.backend_agrees()?;
        cut.proxies[at].1.set(Fault::None);
        cut.the_first_worker_goes_on(server)?;
    }
    cut.scene.ends_well()
}

#[test]
fn a_commit_whose_answer_is_lost_counts_once() -> Result {
    let Some(mut cut) = Cut::set(Duration::ZERO)? else { return Ok(()) };
    let proxy = &cut.proxies[0].1;
    for cuts in 1..=10 {
        proxy.set(Fault::CutAfter(b"COMMIT"));
        eventually("a commit loses its answer", SOON, || Ok((proxy.cuts() == cuts).then_some(())))?;
    }
    cut.the_first_worker_goes_on(Server::Postgres)?;
    cut.scene.ends_well()
}
