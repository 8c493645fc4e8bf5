//! A RabbitMQ for the tests: the one that the environment names, or a private one in a temporary folder.
//!
//! It must never signal a process that it did not start, nor leave one behind: the private server is held by a shell
//! that ends it when its standard input is closed, which happens however the tests end.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lockgate_distributed::{BrokerOptions, RabbitBroker};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Where the Debian package keeps the commands that do not change the user.
const BIN: &str = "/usr/lib/rabbitmq/bin";
/// Longer than a first start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// Starts a private server on `$1`, a folder; ends it, its epmd and the folder when the input is closed.
const KEEP: &str = r#"
. "$1/env"
/usr/lib/rabbitmq/bin/rabbitmq-server >>"$1/out" 2>&1 &
read -r _
kill -9 $(cat "$1/pid") 2>/dev/null
wait
test -e "$1/restarts" || { epmd -kill >/dev/null 2>&1; rm -rf "$1"; }
"#;

/// A server.
pub(crate) struct Rabbit {
    pub(crate) url: String,
    ctl: PathBuf,
    private: Option<Private>,
}

struct Private {
    folder: PathBuf,
    keeper: Mutex<Child>,
}

/// Who breaks the server is alone with it.
static ALONE: RwLock<()> = RwLock::const_new(());
static SHARED: OnceCell<Option<Rabbit>> = OnceCell::const_new();
static PRIVATE: OnceCell<Option<Rabbit>> = OnceCell::const_new();

/// A server that nobody breaks meanwhile, and a guard for that; `None` when there is none, said loudly.
pub(crate) async fn shared() -> Option<(&'static Rabbit, RwLockReadGuard<'static, ()>)> {
    let given = SHARED.get_or_init(|| async { given() }).await.as_ref();
    let guard = ALONE.read().await;
    match given {
        Some(given) => Some((given, guard)),
        None => private().await.map(|rabbit| (rabbit, guard)),
    }
}

/// A server to break, alone.
pub(crate) async fn to_break() -> Option<(&'static Rabbit, RwLockWriteGuard<'static, ()>)> {
    let guard = ALONE.write().await;
    private().await.map(|rabbit| (rabbit, guard))
}

#[expect(clippy::disallowed_methods, reason = "the harness hands over its server by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn given() -> Option<Rabbit> {
    let url = variable("LOCKGATE_TEST_AMQP_URL")?;
    let ctl = variable("LOCKGATE_TEST_RABBITMQCTL").unwrap_or_else(|| format!("{BIN}/rabbitmqctl"));
    Some(Rabbit { url, ctl: ctl.into(), private: None })
}

async fn private() -> Option<&'static Rabbit> {
    PRIVATE.get_or_init(start).await.as_ref()
}

async fn start() -> Option<Rabbit> {
    if !Path::new(BIN).join("rabbitmq-server").exists() {
        assert!(variable("CI").is_none(), "there is no RabbitMQ at {BIN}; tests must not pass without it");
        #[expect(clippy::print_stderr, reason = "a test that is passed over must be seen")]
        {
            eprintln!("SKIPPED: there is no RabbitMQ at {BIN}; install it, or set LOCKGATE_TEST_AMQP_URL");
        }
        return None;
    }
    let folder = tempfile::tempdir().unwrap().keep();
    let [port, distribution, epmd] = free_ports();
    let at = folder.display();
    let env = format!(
        "export RABBITMQ_NODENAME=lockgate{port}@localhost RABBITMQ_MNESIA_BASE={at}/mnesia RABBITMQ_LOG_BASE={at}/log\n\
         export RABBITMQ_CONFIG_FILE={at}/rabbitmq RABBITMQ_DIST_PORT={distribution} RABBITMQ_PID_FILE={at}/pid\n\
         export RABBITMQ_ENABLED_PLUGINS_FILE={at}/plugins ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT={epmd}\n\
         export HOME={at}/home ERL_CRASH_DUMP={at}/erl_crash.dump\n"
    );
    let config =
        format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\ndisk_free_limit.absolute = 50MB\n");
    std::fs::create_dir(folder.join("home")).unwrap();
    std::fs::write(folder.join("env"), env).unwrap();
    std::fs::write(folder.join("rabbitmq.conf"), config).unwrap();
    std::fs::write(folder.join("plugins"), "[].").unwrap();
    let ctl = folder.join("ctl");
    std::fs::write(&ctl, format!("#!/bin/sh\n. {at}/env\nexec {BIN}/rabbitmqctl \"$@\"\n")).unwrap();
    let keeper = Mutex::new(keep(&folder));
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    let rabbit = Rabbit { url, ctl, private: Some(Private { folder, keeper }) };
    rabbit.is_up().await;
    // How often channels look for deliveries that are unsettled for too long; a minute by default.
    rabbit.ctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 200)."]).await;
    Some(rabbit)
}

fn keep(folder: &Path) -> Child {
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", KEEP, "keep"]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn free_ports() -> [u16; 3] {
    // All three are bound at once, so that they differ.
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Rabbit {
    /// Waits until it takes connections.
    pub(crate) async fn is_up(&self) {
        let address = self.address();
        eventually("the server takes connections", START, async || {
            let stream = tokio::net::TcpStream::connect(&address).await.ok()?;
            // A listener is there before the broker behind it is.
            greeted(stream).await.then_some(())
        })
        .await;
    }

    fn address(&self) -> String {
        let (_, address) = self.url.rsplit_once('@').unwrap();
        address.split('/').next().unwrap().to_owned()
    }

    /// Runs `rabbitmqctl` with these arguments.
    pub(crate) async fn ctl(&self, args: &[&str]) -> String {
        let output = Command::new("sh").arg(&self.ctl).args(args).output().await.unwrap();
        assert!(output.status.success(), "rabbitmqctl {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn signal(&self, signal: &str) {
        let private = self.private.as_ref().expect("only a private server is signalled");
        let pid = std::fs::read_to_string(private.folder.join("pid")).unwrap();
        let killed = Command::new("kill").args([signal, pid.trim()]).status().await.unwrap();
        assert!(killed.success(), "kill {signal} {pid}");
    }

    /// Freezes it: its sockets stay open, and nothing is answered.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub(crate) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&self) {
        let private = self.private.as_ref().expect("only a private server is killed");
        std::fs::write(private.folder.join("restarts"), "").unwrap();
        self.signal("-9").await;
        let mut keeper = private.keeper.lock().await;
        drop(keeper.stdin.take());
        keeper.wait().await.unwrap();
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) async fn start_again(&self) {
        let private = self.private.as_ref().unwrap();
        std::fs::remove_file(private.folder.join("restarts")).unwrap();
        *private.keeper.lock().await = keep(&private.folder);
    }

    /// A broker of our own prefix: no other test sees its queues.
    pub(crate) fn broker(&self) -> Place {
        let prefix = format!("{}.", Uuid::now_v7().simple());
        let options = BrokerOptions { prefix, ..BrokerOptions::new(self.url.clone(), "test") };
        Place { broker: Arc::new(RabbitBroker::connect(options.clone()).unwrap()), options }
    }
}

/// A broker with queues of its own.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) broker: Arc<RabbitBroker>,
    pub(crate) options: BrokerOptions,
}

impl Place {
    /// Another process on the same queues.
    pub(crate) fn second(&self) -> RabbitBroker {
        RabbitBroker::connect(self.options.clone()).unwrap()
    }

    /// A foreign client, with the driver alone.
    pub(crate) async fn foreigner(&self) -> lapin::Channel {
        use secrecy::ExposeSecret;
        let url = self.options.url.expose_secret();
        let connection =
            lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
        connection.create_channel().await.unwrap()
    }

    /// The user of the url.
    pub(crate) fn user(&self) -> String {
        use secrecy::ExposeSecret;
        let url: lapin::uri::AMQPUri = self.options.url.expose_secret().parse().unwrap();
        url.authority.userinfo.username
    }

    pub(crate) fn queue(&self, name: &str) -> lapin::types::ShortString {
        format!("{}{name}", self.options.prefix).into()
    }
}

async fn greeted(mut stream: tokio::net::TcpStream) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut first = [0_u8];
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.is_ok() && stream.read_exact(&mut first).await.is_ok()
}

/// Looks until `look` gives something.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(Duration::from_millis(50)).await; // eventually
    }
}
