//! Tests of the harness: private servers respond, die, restart and freeze on request, and leave nothing
//! behind.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use support::servers::{self, ClickHouse, Postgres, Private, Redis, Servers};
use support::wait::{block_on, eventually};
use support::{Context, Result, ensure};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn servers_restart_with_all_committed_data_after_a_kill() -> Result {
    if !servers::available()? {
        return Ok(());
    }
    let mut servers = Servers::start()?;
    assert!(servers.rabbitmq.vhost("kept")?.ends_with("/kept"));
    let database = servers.postgres.database("kept")?;
    redis(&servers.redis, &["SET", "kept", "1"])?;
    killed_and_back(&mut servers.rabbitmq)?;
    killed_and_back(&mut servers.postgres)?;
    killed_and_back(&mut servers.redis)?;
    assert!(servers.rabbitmq.rabbitmqctl(&["list_vhosts"])?.contains("kept"));
    assert_eq!(redis(&servers.redis, &["GET", "kept"])?, "1");
    block_on(async { Ok(PgConnection::connect(&database).await?.close().await?) })?;
    servers.redis.restart_empty()?;
    assert_eq!(redis(&servers.redis, &["GET", "kept"])?, "");
    Ok(())
}

#[test]
fn clickhouse_restarts_with_its_data_after_a_kill_and_reports_errors() -> Result {
    if !servers::clickhouse_available()? {
        return Ok(());
    }
    let mut clickhouse = ClickHouse::start()?;
    let kept = servers::create_clickhouse_database(&clickhouse.url(), "kept")?;
    ensure!(kept.ends_with("/kept"), "{kept}");
    killed_and_back(&mut clickhouse)?;
    let ask = |statement: &str| servers::ask_clickhouse(&clickhouse.url(), statement);
    assert_eq!(ask("SELECT count() FROM system.databases WHERE name = 'kept'")?, "1\n");
    let refused = ask("SELECT nothing").err().context("an invalid statement succeeded")?.to_string();
    ensure!(refused.contains("Code: 47"), "{refused}");
    let folder = clickhouse.folder().to_owned();
    drop(clickhouse);
    ensure!(!folder.exists(), "{} still exists", folder.display());
    Ok(())
}

fn killed_and_back(server: &mut Private) -> Result {
    let pid = server.pid().context("the server does not run")?;
    server.kill();
    ensure!(!alive(pid), "process {pid} still runs");
    ensure!(connect(server.port()).is_err(), "the port is still open");
    server.restart()
}

#[test]
fn frozen_server_is_silent_with_all_its_processes_and_responds_again_when_thawed() -> Result {
    if !servers::available()? {
        return Ok(());
    }
    let redis_server = Redis::start()?;
    redis_server.freeze()?;
    ensure!(redis(&redis_server, &["PING"]).is_err(), "a frozen Redis responds");
    redis_server.thaw()?;
    assert_eq!(redis(&redis_server, &["PING"])?, "PONG");

    let postgres = Postgres::start()?;
    let url = postgres.url();
    block_on(async {
        let mut connection = PgConnection::connect(&url).await?;
        postgres.freeze()?;
        let mut ask = Box::pin(sqlx::query("SELECT 1").execute(&mut connection));
        let silent = tokio::time::timeout(Duration::from_millis(500), &mut ask).await.is_err();
        ensure!(silent, "a frozen PostgreSQL responds on an open connection");
        postgres.thaw()?;
        tokio::time::timeout(SOON, ask).await??;
        Ok(())
    })
}

#[test]
fn servers_end_with_their_wrapper_even_after_sigkill() -> Result {
    if !servers::available()? {
        return Ok(());
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let scratch = tempfile::tempdir()?;
        let (environment, mut wrapper) = wrapped(scratch.path())?;
        let folders: Vec<PathBuf> =
            std::fs::read_dir(scratch.path())?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        assert_eq!(folders.iter().filter(|folder| folder.is_dir()).count(), environment.len(), "{folders:?}");
        let wrapper_id = i32::try_from(wrapper.id()).ok().and_then(Pid::from_raw).context("no pid")?;
        // Kept open, because the end of its input would end the command too, sometimes before the signal.
        let input = wrapper.stdin.take();
        kill_process(wrapper_id, signal)?;
        let status = wrapper.wait()?;
        drop(input);
        // After SIGTERM the command's exit code is returned; after SIGKILL there is none.
        assert_eq!(status.code(), (signal == Signal::TERM).then_some(128 + 15));
        eventually("no port is open", SOON, || {
            Ok(environment.iter().all(|port| connect(*port).is_err()).then_some(()))
        })?;
        eventually("the folders are removed", SOON, || {
            Ok(folders.iter().all(|folder| !folder.is_dir()).then_some(()))
        })?;
    }
    Ok(())
}

/// Starts `private-servers` around a command that waits, with its temporary folders in this one. Returns the
/// ports of the servers.
fn wrapped(folder: &Path) -> Result<(Vec<u16>, std::process::Child)> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    let printed = folder.join("printed");
    let script = format!("env | grep _URL= > {0}.part; mv {0}.part {0}; exec cat", printed.display());
    let wrapper = Command::new(support::program::binary("private-servers"))
        .args(["sh", "-c", &script])
        .env("TMPDIR", folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let text = eventually("the servers are up", SOON * 3, || Ok(std::fs::read_to_string(&printed).ok()))?;
    let urls = text.lines().filter(|line| line.starts_with("LOCKGATE_TEST_"));
    let port = |url: &str| url.rsplit_once("127.0.0.1:")?.1.split('/').next()?.parse().ok();
    let ports: Vec<u16> = urls.filter_map(port).collect();
    let clickhouse = usize::from(servers::clickhouse_available()?);
    assert_eq!(ports.len(), 3 + clickhouse, "{text}");
    std::fs::remove_file(printed)?;
    Ok((ports, wrapper))
}

fn redis(server: &Redis, args: &[&str]) -> Result<String> {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = connect(server.port())?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(format!("{}\r\n", args.join(" ")).as_bytes())?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().context("no response")??;
    // A bulk string is sent as its length and then its bytes; `$-1` is a null.
    let text = if first.starts_with('$') && first != "$-1" {
        lines.next().context("incomplete response")??
    } else {
        first
    };
    Ok(text.trim_start_matches('+').trim_start_matches("$-1").to_owned())
}

fn connect(port: u16) -> Result<TcpStream> {
    Ok(TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SOON)?)
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
