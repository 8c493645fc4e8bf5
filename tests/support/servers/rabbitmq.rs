//! A private RabbitMQ: a single node with its own port mapper.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use super::process::{self, Guarded, Launch, Private};
use crate::Result;
use crate::wait::eventually;

const FOLDERS: [&str; 2] = ["/usr/lib/rabbitmq/bin", "/usr/local/opt/rabbitmq/sbin"];
/// Restricts Erlang distribution, between the node and its tools, to the loopback.
const ERLANG_ON_LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// One RabbitMQ node without plugins.
#[derive(Debug)]
pub struct RabbitMq {
    // Declared first, so that the node ends before its port mapper.
    server: Private,
    _mapper: Guarded,
}

impl RabbitMq {
    /// Starts a node and returns when it responds.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// Starts a node with additional config lines, such as `consumer_timeout = 5000`.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not start.
    pub fn start_with(config: &str) -> Result<Self> {
        let program =
            program().context("rabbitmq-server is missing; install the Debian package rabbitmq-server")?;
        let folder = process::folder("rabbitmq", None)?;
        let (port, talk, map) = (process::free_port()?, process::free_port()?, process::free_port()?);
        let mapper = mapper(map)?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        // A dead peer is detected within seconds. There is no other node, so a wrong detection cannot do
        // harm.
        let base = format!("listeners.tcp.1 = 127.0.0.1:{port}\nnet_ticktime = 5\n");
        std::fs::write(path("rabbitmq.conf"), base + config)?;
        std::fs::write(path("enabled_plugins"), "[].\n")?;
        std::fs::create_dir(path("home"))?;
        let talk_to_it = [
            ("HOME", path("home")),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", map.to_string()),
            ("RABBITMQ_NODENAME", format!("lockgate{port}@localhost")),
            // Ignores the configuration of the machine's own broker.
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CTL_ERL_ARGS", ERLANG_ON_LOOPBACK.to_owned()),
        ];
        let mut environment = talk_to_it.to_vec();
        environment.extend([
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("RABBITMQ_DIST_PORT", talk.to_string()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ON_LOOPBACK.to_owned()),
            // Makes the start script exec the server, instead of staying its parent and forwarding only some
            // signals.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ]);
        script(&folder.path().join("rabbitmqctl"), &program.with_file_name("rabbitmqctl"), &talk_to_it)?;
        let launch = Launch {
            name: "rabbitmq",
            program,
            args: Vec::new(),
            environment,
            user: None,
            stop: Signal::TERM,
            abort: None,
            ready: answers,
        };
        Ok(Self { server: Private::start(folder, port, launch)?, _mapper: mapper })
    }

    /// Returns the url: user `guest`, vhost `/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port())
    }

    /// Returns the log of the node.
    ///
    /// # Errors
    /// When there is no log.
    pub fn node_log(&self) -> Result<String> {
        let name = format!("lockgate{}@localhost.log", self.port());
        Ok(std::fs::read_to_string(self.folder().join("log").join(name))?)
    }

    /// Returns the path of a script that runs `rabbitmqctl` for this node.
    #[must_use]
    pub fn rabbitmqctl_path(&self) -> PathBuf {
        self.folder().join("rabbitmqctl")
    }

    /// Runs `rabbitmqctl` for this node and returns its output.
    ///
    /// # Errors
    /// When it fails. The error has its output.
    pub fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        run(&self.rabbitmqctl_path(), args)
    }

    /// Creates an empty vhost and returns its url.
    ///
    /// # Errors
    /// When the node does not respond.
    pub fn vhost(&self, name: &str) -> Result<String> {
        add_vhost(&self.rabbitmqctl_path(), &self.url(), name)
    }
}

impl Deref for RabbitMq {
    type Target = Private;

    fn deref(&self) -> &Private {
        &self.server
    }
}

impl DerefMut for RabbitMq {
    fn deref_mut(&mut self) -> &mut Private {
        &mut self.server
    }
}

/// Finds the server. The script of the same name in `sbin` is not used: as root it changes to a user who
/// cannot read our folder, and as any other user it refuses to run.
pub(super) fn program() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
    epmd().and(process::find("rabbitmq-server", &folders))
}

pub(super) fn add_vhost(rabbitmqctl: &Path, server: &str, name: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    anyhow::ensure!(!name.is_empty() && name.chars().all(plain), "{name:?} is not a plain name of a vhost");
    run(rabbitmqctl, &["add_vhost", name])?;
    run(rabbitmqctl, &["set_permissions", "-p", name, "guest", ".*", ".*", ".*"])?;
    let address = server.rsplit_once('/').context("a url without a vhost")?.0;
    Ok(format!("{address}/{name}"))
}

pub(super) fn run(rabbitmqctl: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(rabbitmqctl).args(args).stdin(Stdio::null()).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "rabbitmqctl {args:?} ended with {}: {out}{err}", output.status);
    Ok(out.into_owned())
}

/// Starts a port mapper. Without it, Erlang would start one for the whole machine and leave it running.
fn mapper(port: u16) -> Result<Guarded> {
    let mut command =
        Command::new(epmd().context("epmd is missing; install the Debian package erlang-base")?);
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]).current_dir("/").env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut mapper = Guarded::spawn(&mut command, None).context("starting epmd")?;
    eventually("epmd listens", Duration::from_secs(10), || {
        anyhow::ensure!(!mapper.ended()?, "epmd ended");
        Ok(process::connect(port).ok())
    })?;
    Ok(mapper)
}

fn epmd() -> Option<PathBuf> {
    process::find("epmd", &[PathBuf::from("/usr/lib/erlang/bin")])
}

/// Writes a script that runs `rabbitmqctl` in the environment of this node.
fn script(path: &Path, rabbitmqctl: &Path, environment: &[(&str, String)]) -> Result {
    use std::fmt::Write as _;
    use std::os::unix::fs::PermissionsExt;
    let mut text = String::from("#!/bin/sh\n");
    for (name, value) in environment {
        writeln!(text, "export {name}='{value}'")?;
    }
    writeln!(text, "exec '{}' \"$@\"", rabbitmqctl.display())?;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Sends the protocol header and expects the first frame of the server.
fn answers(port: u16) -> Result<bool> {
    let mut stream = process::connect(port)?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let mut frame = [0; 1];
    stream.read_exact(&mut frame)?;
    Ok(frame == [1])
}
