//! A worker's endpoints, as a scraper and a service manager ask them, and a worker whose store is away.
//!
//! They must never choose a port: the system does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::greeter::Greeter;
use crate::signals::send;

/// A worker that listens; ends with this.
struct Listening {
    process: Child,
    address: SocketAddr,
    lines: Receiver<String>,
}

impl Listening {
    fn start(greeter: &Greeter, arguments: &[&str]) -> Self {
        let arguments = [&["work", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = greeter.command(&arguments);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let line =
            said.find(|line| line.as_ref().unwrap().starts_with("listening on http://")).unwrap().unwrap();
        let (log, lines) = channel();
        std::thread::spawn(move || said.map_while(Result::ok).for_each(|line| drop(log.send(line))));
        let address = line.trim_start_matches("listening on http://").split_once(": ").unwrap().0;
        Self { process, address: address.parse().unwrap(), lines }
    }

    /// Looks until it is so: at each line that it logs, and now and then.
    fn eventually(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let mut look = || {
            drop(self.lines.recv_timeout(Duration::from_millis(20)));
            is_so()
        };
        assert!((0..1_500).any(|_| look()), "not within half a minute: {what}");
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.get_of(path, &self.address.to_string())
    }

    fn get_of(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn readiness(&self) -> (u16, Value) {
        let (status, body) = self.get("/readyz");
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn lock(greeter: &Greeter) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(greeter.database());
    let mut connection = options.connect().await.unwrap();
    sqlx::query("begin immediate").execute(&mut connection).await.unwrap();
    connection
}

#[test]
fn a_worker_tells_what_it_has_done_and_that_it_is_ready() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let worker = Listening::start(&greeter, &[]);
    assert_eq!(worker.get("/healthz").0, 200);
    worker.eventually("it is ready", || worker.readiness().0 == 200);
    greeter.eventually("all are greeted", || greeter.json(&["runs", "verify", "party"])["succeeded"] == 10);
    let (status, metrics) = worker.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "lockgate_jobs_settled_total{kind=\"greet\",outcome=\"succeeded\"} 10",
        "lockgate_slots_granted_total{pool=\"door\",how=\"at-once\"} 10",
        "lockgate_slot_wait_seconds_bucket{kind=\"greet\",le=\"0.001\"}",
        "lockgate_job_run_seconds_bucket{kind=\"greet\",le=\"+Inf\"} 10",
        "lockgate_slot_hold_seconds_count{pool=\"door\"} 10",
        "lockgate_heartbeat_seconds_bucket{le=\"0.1\"}",
        "lockgate_queue_ready{queue=\"greetings\"}",
        "lockgate_queue_dead{queue=\"greetings\"} 0",
        "lockgate_slots_limit{pool=\"door\"} 50",
        "lockgate_slots_configured{pool=\"door\"} 50",
        "# HELP lockgate_slots_limit Slots that grants obey now",
        "lockgate_leases_lost_total{reason=\"lost\"} 0",
        "lockgate_build_info{program=\"greeter\"",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(worker.get("/").0, 404);
}

#[test]
fn the_wait_for_slots_leaves_out_the_wait_for_tokens() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party", "--batch-delay", "0s"]);
    let worker =
        Listening::start(&greeter, &["--set", "kinds.greet.rate=3/s", "--set", "kinds.greet.burst=1"]);
    greeter.eventually("all are greeted", || greeter.json(&["runs", "verify", "party"])["succeeded"] == 10);
    let metrics = worker.get("/metrics").1;
    let seconds = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // The last of ten waits for three seconds, and each of the fifty slots is free.
    let (slots, tokens) =
        (seconds("lockgate_slot_wait_seconds_sum"), seconds("lockgate_rate_wait_seconds_sum"));
    assert!(tokens > 3.0 && slots < tokens / 2.0, "{slots} s for slots, {tokens} s for tokens");
}

#[tokio::test]
async fn a_worker_whose_store_is_away_lives_says_so_and_goes_on_when_it_is_back() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let held = lock(&greeter).await;
    let worker = Listening::start(&greeter, &[]);
    worker.eventually("it says why it is not ready", || {
        let (status, report) = worker.readiness();
        let why = report["ledger"]["why"].as_str().unwrap_or_default().to_owned();
        assert_eq!((status, &report["ready"], &report["worker"]["ok"]), (503, &false.into(), &false.into()));
        why.contains("another process")
    });
    assert_eq!(worker.get("/healthz").0, 200);
    held.close().await.unwrap();
    worker.eventually("it is ready", || worker.readiness().0 == 200);
    greeter.eventually("all are greeted", || greeter.json(&["runs", "verify", "party"])["succeeded"] == 10);
}

#[tokio::test]
async fn a_worker_that_waits_for_a_store_stops_at_once_when_it_is_told_to() {
    let greeter = Greeter::new();
    greeter.ok(&["slots", "show"]);
    let _held = lock(&greeter).await;
    let mut worker = Listening::start(&greeter, &[]);
    worker.eventually("it waits", || worker.readiness().1["ledger"]["why"].is_string());
    send(&worker.process, "TERM");
    assert_eq!(worker.process.wait().unwrap().code(), Some(0));
}

#[test]
fn half_sent_requests_do_not_block_healthz_nor_take_file_descriptors() {
    let greeter = Greeter::new();
    let worker = Listening::start(&greeter, &[]);
    let half_sent: Vec<TcpStream> = (0..120)
        .map(|_| {
            let mut stream = TcpStream::connect(worker.address).unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").unwrap();
            stream
        })
        .collect();
    assert_eq!(worker.get("/healthz").0, 200);
    let sockets = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", worker.process.id())).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    };
    worker.eventually("most of them are closed", || sockets() < 80);
    drop(half_sent);
}

#[test]
fn a_scraper_may_call_the_worker_by_the_names_that_the_config_allows() {
    let greeter = Greeter::new();
    let worker = Listening::start(&greeter, &["--set", "worker.hosts=[\"worker-1\"]"]);
    assert_eq!(worker.get_of("/healthz", "localhost").0, 200);
    assert_eq!(worker.get_of("/healthz", "worker-1:9464").0, 200);
    let (status, why) = worker.get_of("/metrics", "evil.example");
    assert!(status == 421 && why.contains("worker.hosts"), "{status} {why}");
}

#[test]
fn an_address_that_is_taken_or_none_is_refused_at_once() {
    let greeter = Greeter::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = greeter.fails(&["work", "--listen", &address], 69);
    assert!(line.contains(&address) && line.contains("give another port"), "{line}");
    let listen = format!("worker.listen={address}");
    assert!(greeter.fails(&["work", "--set", &listen], 69).contains(&address));
    let line = greeter.fails(&["work", "--listen", "9464"], 2);
    assert!(line.contains("127.0.0.1:9464"), "{line}");
    let line = greeter.fails(&["work", "--set", "worker.listen=nowhere"], 78);
    assert!(line.contains("worker.listen") && line.contains("127.0.0.1:9464"), "{line}");
    assert!(greeter.fails(&["work", "--listen", "192.0.2.1:9464"], 69).contains("address of this machine"));
}
