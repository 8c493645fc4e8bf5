//! A rate of 10/s with a burst of 20, measured at a receiver that sees every request of the workers before
//! the backend.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use support::program::{Running, Sandbox};
use support::wait::eventually;
use support::{Context, Result, servers};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

const RATE: f64 = 10.0;
const BURST: f64 = 20.0;
/// A burst, and ten seconds at the rate.
const JOBS: u32 = 120;
/// How much later than its token a request may arrive, because the start of the job is written in between.
const LATE: f64 = 0.15;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn worker_on_one_file_keeps_and_uses_the_rate() -> Result {
    let backend = Backend::start()?;
    let sandbox = organizations::imported(JOBS)?;
    sandbox.write("lockgate.toml", &config(&backend, "", CONFIGURED))?;
    keeps_the_rate(&sandbox, &backend, 1)
}

#[test]
fn rate_stored_only_in_the_file_applies_to_the_first_jobs_of_a_worker() -> Result {
    let backend = Backend::start()?;
    let sandbox = organizations::imported(JOBS)?;
    sandbox.write("lockgate.toml", &config(&backend, "", ""))?;
    sandbox.run(&SET)?.succeeded()?;
    keeps_the_rate(&sandbox, &backend, 1)
}

#[test]
fn rate_stored_only_in_redis_applies_to_the_first_jobs_of_each_worker() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let backend = Backend::start()?;
    let name = format!("rates_{:016x}", fastrand::u64(..));
    let sandbox = Sandbox::new()?;
    sandbox.write("lockgate.toml", &config(&backend, &shared.engine(&name)?, ""))?;
    organizations::import(&sandbox, JOBS, 498_705)?;
    sandbox.run(&SET)?.succeeded()?;
    keeps_the_rate(&sandbox, &backend, 2)
}

#[test]
fn workers_of_the_distributed_engine_keep_and_use_one_rate() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let backend = Backend::start()?;
    let name = format!("rates_{:016x}", fastrand::u64(..));
    let sandbox = Sandbox::new()?;
    sandbox.write("lockgate.toml", &config(&backend, &shared.engine(&name)?, CONFIGURED))?;
    organizations::import(&sandbox, JOBS, 498_705)?;
    keeps_the_rate(&sandbox, &backend, 2)
}

/// The rate in the config, and the same rate set by an operator.
const CONFIGURED: &str = "rate = \"10/s\"\nburst = 20\n";
const SET: [&str; 7] = ["limits", "set", "clickhouse", "--rate", "10/s", "--burst", "20"];

fn config(backend: &Backend, engine: &str, rate: &str) -> String {
    format!(
        "{engine}[pools.clickhouse]\n{rate}slots = 100\n\
         [spike_projection]\nsource = \"http\"\n[spike_projection.http]\nurl = \"{}\"\n",
        backend.url
    )
}

fn keeps_the_rate(sandbox: &Sandbox, backend: &Backend, workers: usize) -> Result {
    let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"];
    sandbox.run(&plan)?.succeeded()?;
    let start = |_| sandbox.start(&["work", "--concurrency", "120"]);
    let _workers: Vec<Running> = (0..workers).map(start).collect::<Result<_>>()?;
    let jobs = usize::try_from(JOBS)?;
    eventually("every job has queried the backend", SOON, || {
        Ok((backend.arrivals().len() >= jobs).then_some(()))
    })?;
    eventually("every job is accounted for", SOON, || {
        let run = sandbox.json(&["runs", "show", "r"])?["run"].take();
        Ok((run["succeeded"] == JOBS).then_some(()))
    })?;
    let arrivals = backend.arrivals();
    assert_eq!(arrivals.len(), jobs, "each job sends one query");
    check(&arrivals);
    let (first, last) = (arrivals.first().context("none")?, arrivals.last().context("none")?);
    let took = (*last - *first).as_secs_f64();
    let least = (f64::from(JOBS) - BURST) / RATE;
    assert!(
        took <= least / 0.9,
        "it took {took:.1} s instead of {least} s at the full rate: less than 90 % of the rate was used"
    );
    Ok(())
}

/// Checks R1: every window has at most a burst plus the rate times its length.
fn check(arrivals: &[Instant]) {
    for (n, from) in arrivals.iter().enumerate() {
        for (many, to) in (1u32..).zip(&arrivals[n..]) {
            let window = (*to - *from).as_secs_f64();
            let most = BURST + RATE * (window + LATE);
            assert!(f64::from(many) <= most, "{many} requests within {window:.3} s, at most {most:.1}");
        }
    }
}

/// A fake backend behind a receiver that forwards all requests and records when each arrived.
struct Backend {
    url: String,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    _fake_backend: Running,
    _sandbox: Sandbox,
}

impl Backend {
    fn start() -> Result<Self> {
        let sandbox = organizations::imported(JOBS)?;
        let mut fake_backend =
            sandbox.start(&["fake-backend", "--query-time", "20ms", "--output", "json"])?;
        let banner = fake_backend.first_json()?;
        let behind = banner["url"].as_str().context("the fake backend printed no address")?;
        let behind = behind.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let arrivals = Arc::<Mutex<Vec<Instant>>>::default();
        let recorded = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&behind) else { continue };
                forward(client, server, &recorded);
            }
        });
        Ok(Self { url, arrivals, _fake_backend: fake_backend, _sandbox: sandbox })
    }

    fn arrivals(&self) -> Vec<Instant> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        arrivals.sort_unstable();
        arrivals
    }
}

/// Forwards both directions, each on a thread that ends with its connection.
fn forward(client: TcpStream, server: TcpStream, recorded: &Arc<Mutex<Vec<Instant>>>) {
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let recorded = Arc::clone(recorded);
    std::thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from_client.read(&mut bytes) {
            let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let requests = head.matches(" HTTP/1.1\r\n").count();
            let now = Instant::now();
            recorded
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(std::iter::repeat_n(now, requests));
            if to_server.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        to_server.shutdown(std::net::Shutdown::Both).ok();
    });
    let (mut client, mut server) = (client, server);
    std::thread::spawn(move || {
        std::io::copy(&mut server, &mut client).ok();
        client.shutdown(std::net::Shutdown::Both).ok();
    });
}
