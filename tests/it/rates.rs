//! A gate of 10/s, burst 20 and 100 in flight, measured where it counts: at the receiver, which sees every request of the
//! workers on their way to the backend.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use support::program::{Place, Running};
use support::wait::eventually;
use support::{Context, Result, servers};
use tokio::time::Instant;

use crate::organizations::{self, AS_OF};

const RATE: f64 = 10.0;
const BURST: f64 = 20.0;
/// A burst, and ten seconds of the rate.
const JOBS: u32 = 120;
/// How much later a request may come than its token was drawn: a start is recorded between the two.
const LATE: f64 = 0.15;
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_worker_on_one_file_keeps_the_rate_at_the_receiver_and_uses_it() -> Result {
    let backend = Backend::start()?;
    let place = organizations::imported(JOBS)?;
    place.write("lockgate.toml", &config(&backend, "", CONFIGURED))?;
    keeps_the_rate(&place, &backend, 1)
}

#[test]
fn rate_that_only_one_file_knows_holds_for_the_first_jobs_of_a_worker() -> Result {
    let backend = Backend::start()?;
    let place = organizations::imported(JOBS)?;
    place.write("lockgate.toml", &config(&backend, "", ""))?;
    place.run(&SET)?.succeeded()?;
    keeps_the_rate(&place, &backend, 1)
}

#[test]
fn rate_that_only_redis_knows_holds_for_the_first_jobs_of_each_worker() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let backend = Backend::start()?;
    let name = format!("rates_{:016x}", fastrand::u64(..));
    let place = Place::new()?;
    place.write("lockgate.toml", &config(&backend, &shared.engine(&name)?, ""))?;
    organizations::import(&place, JOBS, 498_705)?;
    place.run(&SET)?.succeeded()?;
    keeps_the_rate(&place, &backend, 2)
}

#[test]
fn workers_of_the_distributed_engine_keep_one_rate_at_the_receiver_and_use_it() -> Result {
    let Some(shared) = servers::shared()? else { return Ok(()) };
    let backend = Backend::start()?;
    let name = format!("rates_{:016x}", fastrand::u64(..));
    let place = Place::new()?;
    place.write("lockgate.toml", &config(&backend, &shared.engine(&name)?, CONFIGURED))?;
    organizations::import(&place, JOBS, 498_705)?;
    keeps_the_rate(&place, &backend, 2)
}

/// The limit in the config, and the same as an operator sets it.
const CONFIGURED: &str = "rate = \"10/s\"\nburst = 20\n";
const SET: [&str; 7] = ["limits", "set", "clickhouse", "--rate", "10/s", "--burst", "20"];

fn config(backend: &Backend, engine: &str, rate: &str) -> String {
    format!(
        "{engine}[pools.clickhouse]\n{rate}slots = 100\n\
         [spike_projection]\nsource = \"http\"\n[spike_projection.http]\nurl = \"{}\"\n",
        backend.url
    )
}

fn keeps_the_rate(place: &Place, backend: &Backend, workers: usize) -> Result {
    let plan = ["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"];
    place.run(&plan)?.succeeded()?;
    let start = |_| place.start(&["work", "--concurrency", "120"]);
    let _workers: Vec<Running> = (0..workers).map(start).collect::<Result<_>>()?;
    let jobs = usize::try_from(JOBS)?;
    eventually("every job has asked the backend", SOON, || {
        Ok((backend.arrivals().len() >= jobs).then_some(()))
    })?;
    eventually("every job is accounted for", SOON, || {
        let run = place.json(&["runs", "show", "r"])?["run"].take();
        Ok((run["succeeded"] == JOBS).then_some(()))
    })?;
    let arrivals = backend.arrivals();
    assert_eq!(arrivals.len(), jobs, "each asks once");
    check(&arrivals);
    let (first, last) = (arrivals.first().context("none")?, arrivals.last().context("none")?);
    let took = (*last - *first).as_secs_f64();
    let least = (f64::from(JOBS) - BURST) / RATE;
    assert!(
        took <= least / 0.9,
        "it took {took:.1} s; at the whole rate it takes {least} s: less than 90 % was used"
    );
    Ok(())
}

/// R1: in every window no more than a burst, and what the rate brings.
fn check(arrivals: &[Instant]) {
    for (n, from) in arrivals.iter().enumerate() {
        for (many, to) in (1u32..).zip(&arrivals[n..]) {
            let window = (*to - *from).as_secs_f64();
            let most = BURST + RATE * (window + LATE);
            assert!(f64::from(many) <= most, "{many} requests within {window:.3} s, at most {most:.1}");
        }
    }
}

/// A stand-in of the backend, and before it the receiver: it passes on what comes, and notes when each request came.
struct Backend {
    url: String,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    _stand_in: Running,
    _place: Place,
}

impl Backend {
    fn start() -> Result<Self> {
        let place = organizations::imported(JOBS)?;
        let mut stand_in = place.start(&["stand-in", "--query-time", "20ms", "--output", "json"])?;
        let banner = stand_in.first_json()?;
        let behind = banner["url"].as_str().context("the stand-in does not say where it listens")?;
        let behind = behind.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let arrivals = Arc::<Mutex<Vec<Instant>>>::default();
        let noted = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&behind) else { continue };
                pass_on(client, server, &noted);
            }
        });
        Ok(Self { url, arrivals, _stand_in: stand_in, _place: place })
    }

    fn arrivals(&self) -> Vec<Instant> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        arrivals.sort_unstable();
        arrivals
    }
}

/// Both ways, each on a thread that ends with its connection.
fn pass_on(client: TcpStream, server: TcpStream, noted: &Arc<Mutex<Vec<Instant>>>) {
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let noted = Arc::clone(noted);
    std::thread::spawn(move || {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from_client.read(&mut bytes) {
            let head = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let requests = head.matches(" HTTP/1.1\r\n").count();
            let now = Instant::now();
            noted.lock().unwrap_or_else(PoisonError::into_inner).extend(std::iter::repeat_n(now, requests));
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
