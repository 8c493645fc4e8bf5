//! Tests the HTTP endpoints of a worker, also while its store is unreachable. The system chooses all ports.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::greeter::Greeter;
use crate::signals::send;

/// A worker that serves its endpoints. It is killed on drop.
struct ListeningWorker {
    process: Child,
    address: SocketAddr,
    lines: Receiver<String>,
}

impl ListeningWorker {
    fn start(greeter: &Greeter, arguments: &[&str]) -> Self {
        let arguments = [&["work", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = greeter.command(&arguments);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        let line =
            stderr.find(|line| line.as_ref().unwrap().starts_with("listening on http://")).unwrap().unwrap();
        let (log, lines) = channel();
        std::thread::spawn(move || stderr.map_while(Result::ok).for_each(|line| drop(log.send(line))));
        let address = line.trim_start_matches("listening on http://").split_once(": ").unwrap().0;
        Self { process, address: address.parse().unwrap(), lines }
    }

    /// Polls a condition until it holds: at each line of the log, and every 20 ms.
    fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let mut poll = || {
            drop(self.lines.recv_timeout(Duration::from_millis(20)));
            condition()
        };
        assert!((0..1_500).any(|_| poll()), "not within half a minute: {what}");
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.get_from_host(path, &self.address.to_string())
    }

    fn get_from_host(&self, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn readiness(&self) -> (u16, Value) {
        let (status, body) = self.get("/readyz");
        (status, serde_json::from_str(&body).unwrap())
    }
}

impl Drop for ListeningWorker {
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
fn worker_serves_its_metrics_and_its_readiness() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let worker = ListeningWorker::start(&greeter, &[]);
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
        "# HELP lockgate_slots_limit Slots in force",
        "lockgate_leases_lost_total{reason=\"lost\"} 0",
        "lockgate_build_info{program=\"greeter\"",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(worker.get("/").0, 404);
}

#[test]
fn slot_wait_excludes_the_wait_for_tokens() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party", "--batch-delay", "0s"]);
    let worker =
        ListeningWorker::start(&greeter, &["--set", "kinds.greet.rate=3/s", "--set", "kinds.greet.burst=1"]);
    greeter.eventually("all are greeted", || greeter.json(&["runs", "verify", "party"])["succeeded"] == 10);
    let metrics = worker.get("/metrics").1;
    let seconds = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // The last of ten jobs waits three seconds for its token, and all fifty slots are free.
    let (slots, tokens) =
        (seconds("lockgate_slot_wait_seconds_sum"), seconds("lockgate_rate_wait_seconds_sum"));
    assert!(tokens > 3.0 && slots < tokens / 2.0, "{slots} s for slots, {tokens} s for tokens");
}

#[tokio::test]
async fn worker_reports_a_locked_store_and_continues_when_it_is_unlocked() {
    let greeter = Greeter::new();
    greeter.ok(&["enqueue", "--run", "party"]);
    let lock_holder = lock(&greeter).await;
    let worker = ListeningWorker::start(&greeter, &[]);
    worker.eventually("it reports why it is not ready", || {
        let (status, report) = worker.readiness();
        let why = report["ledger"]["why"].as_str().unwrap_or_default().to_owned();
        assert_eq!((status, &report["ready"], &report["worker"]["ok"]), (503, &false.into(), &false.into()));
        why.contains("another process")
    });
    assert_eq!(worker.get("/healthz").0, 200);
    lock_holder.close().await.unwrap();
    worker.eventually("it is ready", || worker.readiness().0 == 200);
    greeter.eventually("all are greeted", || greeter.json(&["runs", "verify", "party"])["succeeded"] == 10);
}

#[tokio::test]
async fn worker_that_waits_for_a_store_stops_at_the_first_signal() {
    let greeter = Greeter::new();
    greeter.ok(&["slots", "show"]);
    let _lock_holder = lock(&greeter).await;
    let mut worker = ListeningWorker::start(&greeter, &[]);
    worker.eventually("it waits", || worker.readiness().1["ledger"]["why"].is_string());
    send(&worker.process, "TERM");
    assert_eq!(worker.process.wait().unwrap().code(), Some(0));
}

#[test]
fn half_sent_requests_block_neither_healthz_nor_file_descriptors() {
    let greeter = Greeter::new();
    let worker = ListeningWorker::start(&greeter, &[]);
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
fn requests_are_accepted_for_the_host_names_of_the_config() {
    let greeter = Greeter::new();
    let worker = ListeningWorker::start(&greeter, &["--set", "worker.hosts=[\"worker-1\"]"]);
    assert_eq!(worker.get_from_host("/healthz", "localhost").0, 200);
    assert_eq!(worker.get_from_host("/healthz", "worker-1:9464").0, 200);
    let (status, why) = worker.get_from_host("/metrics", "evil.example");
    assert!(status == 421 && why.contains("worker.hosts"), "{status} {why}");
}

#[test]
fn invalid_or_used_address_is_refused_immediately() {
    let greeter = Greeter::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = greeter.fails(&["work", "--listen", &address], 69);
    assert!(line.contains(&address) && line.contains("choose another port"), "{line}");
    let listen = format!("worker.listen={address}");
    assert!(greeter.fails(&["work", "--set", &listen], 69).contains(&address));
    let line = greeter.fails(&["work", "--listen", "9464"], 2);
    assert!(line.contains("127.0.0.1:9464"), "{line}");
    let line = greeter.fails(&["work", "--set", "worker.listen=nowhere"], 78);
    assert!(line.contains("worker.listen") && line.contains("127.0.0.1:9464"), "{line}");
    assert!(greeter.fails(&["work", "--listen", "192.0.2.1:9464"], 69).contains("address of this machine"));
}
