//! Network faults between one worker and a server, while the other workers have none: reset, silence, and a
//! commit whose response is lost.

use std::time::Duration;

use rustix::process::Signal;
use support::proxy::{Fault, Proxy};
use support::wait::eventually;
use support::{Context, Result, usual_or_nightly};

use super::scenario::{Scenario, ScenarioOptions, lasts};

const SOON: Duration = Duration::from_secs(30);

const SERVERS: [Server; 3] = [Server::Postgres, Server::RabbitMq, Server::Redis];

/// A server at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Postgres,
    RabbitMq,
    Redis,
}

impl Server {
    /// Returns the config key of the server's address, and the address.
    fn address(self, scenario: &Scenario) -> Result<(&'static str, String)> {
        Ok(match self {
            Self::Postgres => ("distributed.postgres.url", scenario.postgres.url()),
            Self::RabbitMq => ("distributed.amqp.url", scenario.broker.url()?),
            Self::Redis => ("distributed.redis.url", scenario.redis.url()),
        })
    }
}

/// A run with three workers, of which the first is connected to each server through a proxy.
struct ProxiedScenario {
    scenario: Scenario,
    proxies: Vec<(Server, Proxy)>,
}

impl ProxiedScenario {
    /// Starts the run. The other workers continue during all outages and must not run out of work, so 100
    /// organizations are added per second of outage.
    fn start(outages: Duration) -> Result<Option<Self>> {
        let organizations = 1_000 + 100 * u32::try_from(outages.as_secs())?;
        let options = ScenarioOptions { organizations, ..ScenarioOptions::default() };
        let Some(mut scenario) = Scenario::start(options)? else { return Ok(None) };
        let (mut proxies, mut flags) = (Vec::new(), Vec::new());
        for server in SERVERS {
            let (key, url) = server.address(&scenario)?;
            let port =
                url.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
            let proxy = Proxy::to(port.context("a url without a port")?)?;
            flags.extend(["--set".to_owned(), format!("{key}={}", proxy.url(&url)?)]);
            proxies.push((server, proxy));
        }
        scenario.enqueue()?;
        scenario.work(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        let proxied = Self { scenario, proxies };
        for (server, proxy) in &proxied.proxies {
            eventually(&format!("the worker is connected to {server:?}"), SOON, || {
                Ok((proxy.open() > 0).then_some(()))
            })?;
        }
        proxied.scenario.some_more_is_done(40, SOON)?;
        Ok(Some(proxied))
    }

    /// Checks that the first worker, which can reach everything again, continues alone.
    fn first_worker_recovers(&mut self, server: Server) -> Result {
        for mut other in self.scenario.workers.drain(1..) {
            other.signal(Signal::TERM)?;
            other.wait(SOON)?;
        }
        self.scenario.has_much_to_do()?;
        let back = Duration::from_secs(if server == Server::RabbitMq { 10 } else { 5 });
        self.scenario.is_back_at_work_within(back).with_context(|| format!("after a fault of {server:?}"))
    }
}

#[test]
fn worker_survives_resets_of_its_connections_to_each_server() -> Result {
    let Some(mut proxied) = ProxiedScenario::start(Duration::ZERO)? else { return Ok(()) };
    for (at, server) in SERVERS.into_iter().enumerate() {
        let proxy = &proxied.proxies[at].1;
        proxy.set(Fault::Reset);
        eventually("every connection is closed", SOON, || Ok((proxy.open() == 0).then_some(())))?;
        proxy.set(Fault::None);
        proxied.first_worker_recovers(server)?;
    }
    proxied.scenario.ends_well()
}

#[test]
fn worker_survives_silence_of_each_server_while_others_continue() -> Result {
    let silence = usual_or_nightly(Duration::from_secs(5), Duration::from_secs(40));
    let Some(mut proxied) = ProxiedScenario::start(silence * 3)? else { return Ok(()) };
    for (at, server) in SERVERS.into_iter().enumerate() {
        proxied.scenario.work(&[])?;
        proxied.scenario.work(&[])?;
        proxied.proxies[at].1.set(Fault::BlackHole);
        lasts(silence)?;
        // The others continued with the slots that the silent worker lost, and never exceeded the pool.
        proxied.scenario.backend_agrees()?;
        proxied.proxies[at].1.set(Fault::None);
        proxied.first_worker_recovers(server)?;
    }
    proxied.scenario.ends_well()
}

#[test]
fn commit_whose_response_is_lost_counts_once() -> Result {
    let Some(mut proxied) = ProxiedScenario::start(Duration::ZERO)? else { return Ok(()) };
    let proxy = &proxied.proxies[0].1;
    for cuts in 1..=10 {
        proxy.set(Fault::CutAfter(b"COMMIT"));
        eventually("a commit loses its response", SOON, || Ok((proxy.cuts() == cuts).then_some(())))?;
    }
    proxied.first_worker_recovers(Server::Postgres)?;
    proxied.scenario.ends_well()
}
