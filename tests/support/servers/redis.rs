//! A private Redis.

use std::io::{Read, Write};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use anyhow::Context;
use rustix::process::Signal;

use super::process::{self, Launch, Private};
use crate::Result;

/// Redis with an append-only file and without eviction, as it should run for slots.
#[derive(Debug)]
pub struct Redis {
    server: Private,
}

impl Redis {
    /// Starts one, and returns when it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with these settings more, such as `("enable-debug-command", "local")`.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start_with(more: &[(&str, &str)]) -> Result<Self> {
        let program =
            program().context("redis-server is not here; install the Debian package redis-server")?;
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

    /// Where it is: database 0.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port())
    }

    /// Starts it again without anything that it held, as one without a disk does.
    ///
    /// # Errors
    /// When it does not come up.
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

/// Not while it still reads its file: then it answers with `-LOADING`.
fn answers(port: u16) -> Result<bool> {
    let mut stream = process::connect(port)?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG")
}
