//! One private server process and what it started: found, started, killed, frozen, ended.
//!
//! Never a signal to a process that is not this one or below it.

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

/// A broker on a busy machine takes 8 s for its first start.
const STARTS: Duration = Duration::from_secs(90);
const ENDS: Duration = Duration::from_secs(30);
const ABORTS: Duration = Duration::from_secs(5);
/// A server that takes this long for one byte is not ready.
pub(super) const ANSWERS: Duration = Duration::from_secs(2);

/// Below what the kernel gives to outgoing connections, so that a port is still free when its server starts again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// How a server is started, again and again the same.
#[derive(Debug)]
pub(super) struct Launch {
    /// What it is called in errors.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// All that it sees of the environment, beside `PATH`.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Whom it runs as, when that is not us.
    pub(super) user: Option<User>,
    /// What ends it in good order, without waiting for its clients.
    pub(super) stop: Signal,
    /// What ends it at once, when killing it would leave something behind.
    pub(super) abort: Option<Signal>,
    /// Whether it answers on its port.
    pub(super) ready: fn(u16) -> Result<bool>,
}

/// A user and its group, by their numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A server of our own, on a port of its own, in a folder of its own; both are kept when it starts again.
#[derive(Debug)]
pub struct Private {
    launch: Launch,
    port: u16,
    running: Option<Guarded>,
    // The last field: it goes after the process that works in it.
    folder: TempDir,
}

impl Private {
    pub(super) fn start(folder: TempDir, port: u16, launch: Launch) -> Result<Self> {
        let mut server = Self { launch, port, running: None, folder };
        server.restart()?;
        Ok(server)
    }

    /// The port that it listens on, on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts it again on the same port and folder, and returns when it answers. When it still runs, it is stopped.
    ///
    /// # Errors
    /// When it does not come up: the error has the end of its log.
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

    /// Ends it in good order and waits for that. Nothing when it does not run.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.signal_tree(Signal::CONT);
        running.signal(self.launch.stop)?;
        eventually(&format!("{} stops", self.launch.name), ENDS, || Ok(running.child.try_wait()?))?;
        Ok(())
    }

    /// Kills it and all that it started, as a crash of its machine would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Stops the clock for it: it and all that it started stand still, connections stay open and silent.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result {
        let running = self.running.as_ref().context("it does not run")?;
        running.signal_tree(Signal::STOP);
        Ok(())
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result {
        let running = self.running.as_ref().context("it does not run")?;
        running.signal_tree(Signal::CONT);
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// Sets a variable of its environment, from its next start on.
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

/// A process that ends with its owner, whatever ends the owner: dropped, or killed itself.
#[derive(Debug)]
pub(super) struct Guarded {
    child: Child,
    /// A shell that waits for the end of its input, which is the end of us, and then kills the child and removes the
    /// folder. It is ended first, so that it never signals a number that has been given to somebody else.
    guard: Child,
}

const GUARD: &str =
    "trap '' INT TERM HUP; read -r _; kill -9 $1 $(cat /proc/$1/task/*/children); rm -rf \"$2\"";

impl Guarded {
    /// Starts it in a process group of its own: a Ctrl-C in the terminal is for the tests, not for their servers.
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
                Err(error).context("starting a guard for it")
            }
        }
    }

    pub(super) fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn signal(&self, signal: Signal) -> Result {
        Ok(kill_process(pid(self.child.id())?, signal)?)
    }

    /// The process first: it starts no others while they are looked for. One that is gone already is no error.
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
            // Stopped first, so that its children are known before they are orphans.
            self.signal_tree(Signal::STOP);
            let children = below(self.child.id());
            drop(self.child.kill());
            for child in &children {
                drop(pid(*child).and_then(|pid| Ok(kill_process(pid, Signal::KILL)?)));
            }
            // Whoever starts the server again would find its shared memory still in use.
            let gone = || Ok(children.iter().all(|child| is_gone(*child)).then_some(()));
            drop(eventually("its children are gone", ABORTS, gone));
        }
        drop(self.child.wait());
    }
}

fn pid(id: u32) -> Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).context("no pid")
}

/// All processes below this one.
fn below(root: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, stat(id, 1)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut looked_at = 0;
    while let Some(&parent) = found.get(looked_at) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        looked_at += 1;
    }
    found.split_off(1)
}

/// Or dead and not yet asked for by its parent.
fn is_gone(id: u32) -> bool {
    stat(id, 0).is_none_or(|state| state == "Z")
}

/// What the system knows of a process, after its name in brackets, which may hold anything: its state, its parent, ..
fn stat(id: u32, place: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(place).map(str::to_owned)
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(PORTS)).take(100).find(free).context("no port is free")
}

/// A connection to a port of the loopback that does not wait for long.
pub(super) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWERS)?;
    stream.set_read_timeout(Some(ANSWERS))?;
    Ok(stream)
}

/// A new folder, for this user alone when one is named.
pub(super) fn folder(name: &str, user: Option<User>) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(&format!("lockgate-{name}-")).tempdir()?;
    if let Some(User { uid, gid }) = user {
        chown(folder.path(), Some(uid), Some(gid))?;
    }
    Ok(folder)
}

/// The program at one of these places, or on `PATH`.
pub(super) fn find(program: &str, places: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    let at_places = places.iter().map(|folder| folder.join(program));
    at_places.chain(on_path).find(|file| file.is_file())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n")
}
