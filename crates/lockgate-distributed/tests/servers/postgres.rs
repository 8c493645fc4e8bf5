//! A private PostgreSQL server for the tests of one binary, and a database of its own for each test.
//!
//! It must never touch a server that it did not start, unless `LOCKGATE_TEST_POSTGRES_URL` names one to make databases on.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};

/// The URL of a new, empty database; `None`, told on standard error: there is no server on this machine.
pub(crate) async fn database() -> Option<String> {
    let admin = admin()?;
    let name = format!("lockgate_{}", uuid::Uuid::now_v7().simple());
    let options: PgConnectOptions = admin.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    connection
        .execute(AssertSqlSafe(format!("create database {name} encoding 'UTF8' template template0")))
        .await
        .unwrap();
    let mut url: url::Url = admin.parse().unwrap();
    url.set_path(&name);
    Some(url.to_string())
}

/// A connection of the test's own, that knows nothing of ours.
#[allow(dead_code, reason = "not every test binary needs one")]
pub(crate) async fn raw(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// A server, while this is held: it ends when its standard input does, with the process at the latest.
struct Server {
    url: String,
    _process: Child,
}

fn admin() -> Option<String> {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    if let Some(url) = variable("LOCKGATE_TEST_POSTGRES_URL") {
        return Some(url);
    }
    let mut server = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if server.is_none() {
        let Some(programs) = programs() else {
            assert!(variable("CI").is_none(), "there is no PostgreSQL on this machine, and CI is set");
            skipped();
            return None;
        };
        *server = Some(start(&programs));
    }
    server.as_ref().map(|server| server.url.clone())
}

#[expect(clippy::print_stderr, reason = "a test that is passed over must be seen")]
fn skipped() {
    eprintln!("SKIPPED: there is no PostgreSQL on this machine; install its server package");
}

#[expect(clippy::disallowed_methods, reason = "how a harness, or CI, speaks to tests")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder of `initdb` and `postgres`, of the newest version.
fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> =
        installed.filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin")))).collect();
    found.sort();
    found.pop().map(|(_, bin)| bin).filter(|bin| bin.join("postgres").is_file())
}

/// Makes a server and waits for its end of input; then stops it and removes its files. `$1` programs, `$2` port.
const SCRIPT: &str = r#"
set -e
folder=$(mktemp -d)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then chown postgres "$folder"; as() { runuser -u postgres -- "$@"; }; fi
as "$1/initdb" -D "$folder/data" -U postgres --auth=trust --no-sync -E UTF8 --locale=C.UTF-8 >"$folder/init.log"
as "$1/pg_ctl" -D "$folder/data" -o "-p $2 -h 127.0.0.1 -k $folder -c max_connections=300" -l "$folder/data/log" -w start >/dev/null
echo ready
read -r _ || true
as "$1/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null
rm -rf "$folder"
"#;

fn start(programs: &Path) -> Server {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(programs)
        .arg(port.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "the private PostgreSQL server did not start");
    Server { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), _process: child }
}
