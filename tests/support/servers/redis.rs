//! A private Redis.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use anyhow::Context;
use rustix::process::Signal;

use super::process::{self, Launch, Private};
use crate::Result;

/// Redis with an append-only file and without eviction, as recommended for slots.
#[derive(Debug)]
pub struct Redis {
    server: Private,
}

impl Redis {
    /// Starts a server and returns when it responds.
    ///
    /// # Errors
    /// When Redis is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with additional settings, such as `("enable-debug-command", "local")`.
    ///
    /// # Errors
    /// When Redis is not installed or does not start.
    pub fn start_with(more: &[(&str, &str)]) -> Result<Self> {
        let program =
            program().context("redis-server is missing; install the Debian package redis-server")?;
        let (folder, port) = (process::folder("redis", None)?, process::free_port()?);
        let options = [
            ("bind", "127.0.0.1"),
            ("port", &port.to_string()),
            ("save", ""),
            ("appendonly", "yes"),
            ("maxmemory-policy", "noeviction"),
        ];
        let args = options
            .iter()
            .chain(more)
            .flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()])
            .collect();
        let launch = Launch {
            name: "redis",
            program,
            args,
            environment: Vec::new(),
            user: None,
            stop: Signal::TERM,
            abort: None,
            ready: answers,
        };
        Ok(Self { server: Private::start(folder, port, launch)? })
    }

    /// Returns the url, database 0.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port())
    }

    /// Restarts the server without its data, like a server without a disk.
    ///
    /// # Errors
    /// When the server does not start.
    pub fn restart_empty(&mut self) -> Result {
        self.server.stop()?;
        let held = self.folder().join("appendonlydir");
        if held.exists() {
            std::fs::remove_dir_all(held)?;
        }
        self.server.restart()
    }
}

impl Deref for Redis {
    type Target = Private;

    fn deref(&self) -> &Private {
        &self.server
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Private {
        &mut self.server
    }
}

pub(super) fn program() -> Option<PathBuf> {
    process::find("redis-server", &[])
}

/// While Redis loads its file, it responds with `-LOADING` and is not ready.
fn answers(port: u16) -> Result<bool> {
    let mut stream = process::connect(port)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG")
}
