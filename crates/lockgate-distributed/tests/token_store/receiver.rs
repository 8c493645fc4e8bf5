//! Counts the calls of several processes. Each byte that arrives is a call for which a token was spent.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockgate_limits::Quota;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::server::Server;

/// Longer than a process takes to start, also on a busy machine.
const STARTS: Duration = Duration::from_secs(60);

pub(crate) struct Receiver {
    processes: Vec<Process>,
    connections: JoinSet<()>,
    arrivals: Arc<Mutex<Vec<(Instant, u64)>>>,
    pub(crate) started_at: Instant,
}

/// A process that is killed with the test, however the test ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Receiver {
    /// Starts this many processes, and lets all of them begin at once.
    pub(crate) async fn of(server: &Server, quota: Quota, processes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = listener.local_addr().unwrap().to_string();
        let (rate, burst) = (quota.rate().to_string(), quota.burst().to_string());
        let args = [&server.url, &server.namespace, &rate, &burst, &receiver];
        let start = |_| {
            let mut command = Command::new(program());
            Process(
                command.args(args).stdin(Stdio::null()).spawn().expect("the example is built with the tests"),
            )
        };
        let processes: Vec<Process> = (0..processes).map(start).collect();
        let mut streams = Vec::new();
        for _ in &processes {
            streams.push(timeout(STARTS, listener.accept()).await.expect("a process starts").unwrap().0);
        }
        let mut all = Self {
            processes,
            connections: JoinSet::new(),
            arrivals: Arc::default(),
            started_at: Instant::now(),
        };
        for mut stream in streams {
            stream.write_u8(1).await.unwrap();
            all.connections.spawn(count(stream, Arc::clone(&all.arrivals)));
        }
        all
    }

    pub(crate) fn kill_one(&mut self) {
        self.processes.pop();
    }

    /// Returns the number of calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.arrivals.lock().unwrap().iter().map(|(_, calls)| calls).sum()
    }

    /// Returns the number of calls since then.
    pub(crate) fn calls_since(&self, then: Instant) -> u64 {
        self.arrivals.lock().unwrap().iter().filter(|(at, _)| *at > then).map(|(_, calls)| calls).sum()
    }

    /// Checks R1 at the receiver: in every period at most a burst plus what the rate brings. `late` is how
    /// much later than its token was spent a call may arrive.
    pub(crate) fn check(&self, quota: Quota, late: Duration) {
        let (rate, burst) = (quota.rate().as_per_second(), f64::from(quota.burst()));
        let full = burst + rate * late.as_secs_f64();
        let (mut available, mut last) = (full, self.started_at);
        let mut arrivals = self.arrivals.lock().unwrap().clone();
        arrivals.sort_unstable();
        for (at, calls) in arrivals {
            let calls = f64::from(u32::try_from(calls).unwrap());
            available = (available + rate * (at - last).as_secs_f64()).min(full) - calls;
            last = at;
            assert!(
                available >= -1e-6,
                "{:.1} calls too many {:?} after the start",
                -available,
                at - self.started_at
            );
        }
    }
}

async fn count(mut stream: TcpStream, arrivals: Arc<Mutex<Vec<(Instant, u64)>>>) {
    let mut bytes = [0; 256];
    while let Ok(read) = stream.read(&mut bytes).await {
        if read == 0 {
            break;
        }
        arrivals.lock().unwrap().push((Instant::now(), u64::try_from(read).unwrap()));
    }
}

/// Returns the path of the example, which is built next to the folder of this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).expect("a target folder").join("examples/shared_rate")
}
