//! One private server process and its children: start, kill, freeze and stop. Only the process and its
//! descendants are signalled.

mod descendants;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Result;
use crate::wait::eventually;
use descendants::{below, has_ended};

/// Start timeout. A broker on a busy machine takes 8 s for its first start.
const STARTS: Duration = Duration::from_secs(90);
const ENDS: Duration = Duration::from_secs(30);
const ABORTS: Duration = Duration::from_secs(5);
/// Timeout of one read in a readiness check.
pub(super) const ANSWERS: Duration = Duration::from_secs(2);

/// Below the kernel's range for outgoing connections, so that a port is still free when its server restarts.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How a server is started, the same at every restart.
#[derive(Debug)]
pub(super) struct Launch {
    /// Name in errors.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// The environment of the server, in addition to `PATH`.
    pub(super) environment: Vec<(&'static str, String)>,
    /// User to run as; `None` runs as the current user.
    pub(super) user: Option<User>,
    /// Signal that stops the server cleanly without waiting for its clients.
    pub(super) stop: Signal,
    /// Signal that ends the server at once, if SIGKILL would leave something behind.
    pub(super) abort: Option<Signal>,
    /// Returns whether the server responds on its port.
    pub(super) ready: fn(u16) -> Result<bool>,
}

/// A user and its group, by their ids.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A private server with its own port and folder. Both are kept across restarts.
#[derive(Debug)]
pub struct Private {
    launch: Launch,
    port: u16,
    running: Option<Guarded>,
    // Declared last, so that the folder is removed after the process that uses it.
    folder: TempDir,
}

impl Private {
    pub(super) fn start(folder: TempDir, port: u16, launch: Launch) -> Result<Self> {
        let mut server = Self { launch, port, running: None, folder };
        server.restart()?;
        Ok(server)
    }

    /// Returns the port on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the folder of the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Stops the server if it runs, starts it on the same port and folder, and returns when it responds.
    ///
    /// # Errors
    /// When the server does not start. The error has the end of its log.
    pub fn restart(&mut self) -> Result {
        self.stop()?;
        let name = self.launch.name;
        let log = std::fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.launch.program);
        command.args(&self.launch.args).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.launch.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(User { uid, gid }) = self.launch.user {
            command.uid(uid).gid(gid);
        }
        let folder = Some(self.folder.path());
        let mut running = Guarded::spawn(&mut command, folder).with_context(|| format!("starting {name}"))?;
        let ready = eventually(&format!("{name} answers on port {}", self.port), STARTS, || {
            if let Some(status) = running.child.try_wait()? {
                anyhow::bail!("{name} ended with {status}");
            }
            Ok((self.launch.ready)(self.port).unwrap_or(false).then_some(()))
        });
        self.running = Some(running);
        ready.with_context(|| format!("its log ends with:\n{}", tail(&self.log())))
    }

    /// Stops the server cleanly and waits for its end. Does nothing if it does not run.
    ///
    /// # Errors
    /// When the server does not stop in time.
    pub fn stop(&mut self) -> Result {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.signal_tree(Signal::CONT);
        running.signal(self.launch.stop)?;
        eventually(&format!("{} stops", self.launch.name), ENDS, || Ok(running.child.try_wait()?))?;
        Ok(())
    }

    /// Kills the server and its descendants, as a crash of the machine would, and waits for their end.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Freezes the server and its descendants. Their connections stay open and silent.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn freeze(&self) -> Result {
        let running = self.running.as_ref().context("the server does not run")?;
        running.signal_tree(Signal::STOP);
        Ok(())
    }

    /// Continues the server after [`Self::freeze`].
    ///
    /// # Errors
    /// When the server does not run.
    pub fn thaw(&self) -> Result {
        let running = self.running.as_ref().context("the server does not run")?;
        running.signal_tree(Signal::CONT);
        Ok(())
    }

    /// Returns the process id; `None` if the server does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// Sets an environment variable from the next start on.
    pub fn set_environment(&mut self, name: &'static str, value: &str) {
        self.launch.environment.retain(|(known, _)| *known != name);
        self.launch.environment.push((name, value.to_owned()));
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let (Some(running), Some(abort)) = (&mut self.running, self.launch.abort) {
            running.signal_tree(Signal::CONT);
            drop(running.signal(abort));
            drop(eventually("it aborts", ABORTS, || Ok(running.child.try_wait()?)));
        }
    }
}

/// A process that ends with its owner, even if the owner is killed.
#[derive(Debug)]
pub(super) struct Guarded {
    child: Child,
    /// A shell that reads until the end of its input, which is the end of this process, then kills the child
    /// and removes the folder. On drop the shell is ended first, so that it cannot signal a reused pid.
    guard: Child,
}

const GUARD: &str =
    "trap '' INT TERM HUP; read -r _; kill -9 $1 $(cat /proc/$1/task/*/children); rm -rf \"$2\"";

impl Guarded {
    /// Starts the process in its own process group, so that Ctrl-C in a terminal reaches the tests and not
    /// their servers.
    pub(super) fn spawn(command: &mut Command, folder: Option<&Path>) -> Result<Self> {
        let mut child = command.process_group(0).spawn()?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard", &child.id().to_string()]).args(folder);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        match guard.spawn() {
            Ok(guard) => Ok(Self { child, guard }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context("starting the guard of a process")
            }
        }
    }

    pub(super) fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn signal(&self, signal: Signal) -> Result {
        Ok(kill_process(pid(self.child.id())?, signal)?)
    }

    /// Signals the process first, so that it starts no children while they are listed. Processes that have
    /// ended are ignored.
    fn signal_tree(&self, signal: Signal) {
        drop(self.signal(signal));
        for child in below(self.child.id()) {
            drop(pid(child).and_then(|pid| Ok(kill_process(pid, signal)?)));
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.kill());
        drop(self.guard.wait());
        if matches!(self.child.try_wait(), Ok(None)) {
            // Stopped first, so that its children are listed before they are reparented.
            self.signal_tree(Signal::STOP);
            let children = below(self.child.id());
            drop(self.child.kill());
            for child in &children {
                drop(pid(*child).and_then(|pid| Ok(kill_process(pid, Signal::KILL)?)));
            }
            // The shared memory must be unused before a restart.
            let ended = || Ok(children.iter().all(|child| has_ended(*child)).then_some(()));
            drop(eventually("the children have ended", ABORTS, ended));
        }
        drop(self.child.wait());
    }
}

fn pid(id: u32) -> Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).context("no pid")
}

/// Returns a port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(PORTS)).take(100).find(free).context("no port is free")
}

/// Connects to a port of the loopback with a short timeout.
pub(super) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWERS)?;
    stream.set_read_timeout(Some(ANSWERS))?;
    Ok(stream)
}

/// Creates a folder, owned by this user if one is given.
pub(super) fn folder(name: &str, user: Option<User>) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(&format!("lockgate-{name}-")).tempdir()?;
    if let Some(User { uid, gid }) = user {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok(folder)
}

/// Returns the program in one of these folders, or on `PATH`.
pub(super) fn find(program: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    let in_folders = folders.iter().map(|folder| folder.join(program));
    in_folders.chain(on_path).find(|file| file.is_file())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}
