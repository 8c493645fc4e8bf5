//! `fake-backend`: runs a fake usage backend for the source `http`.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate_cli::{Command, CommandContext, Exit, Problem, signals, times};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::fake_backend::{FakeBackend as Server, FakeBackendOptions, NOTICE};
use crate::program;
use crate::usage::SqlSource;

/// The command `fake-backend`.
pub struct FakeBackend;

#[derive(Debug, Args)]
struct FakeBackendArgs {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Accept requests for this host name, in addition to localhost and the server's addresses; may be
    /// repeated
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Queries that run at once; the next one is rejected
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Duration of each query
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = times::parse_duration)]
    query_time: Duration,
}

#[derive(Debug, Serialize)]
struct Listening {
    fake_backend: bool,
    notice: &'static str,
    url: String,
    limit: u32,
}

#[async_trait]
impl Command for FakeBackend {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("fake-backend").about("Serve as a fake usage backend that counts its queries");
        FakeBackendArgs::augment_args(command)
            .before_help(
                "Examples:\n  {bin} fake-backend --listen 127.0.0.1:8123 --limit 100\n      then work with \
                LOCKGATE__SPIKE_PROJECTION__SOURCE=http\n",
            )
            .after_help(
                "GET /usage?organization_id=..&from=..&to=.. returns usage from the local database. GET /status returns \
                counters of queries\n(running, peak, refused, served). POST /reset resets the counters. A query whose caller\n\
                disconnects continues to run, and is counted, until its time has passed.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &CommandContext) -> anyhow::Result<Exit> {
        let FakeBackendArgs { listen, hosts, limit, query_time } =
            FakeBackendArgs::from_arg_matches(matches)?;
        let store = program::store(session.lockgate().await?);
        let stop = signals::drain_on_signal(session.terminal())?;
        let refused = |error: std::io::Error| {
            let text =
                format!("cannot listen at {listen}: {error}; give another address, or port 0 for a free one");
            Problem::new(Exit::Unavailable, text)
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let url = format!("http://{}", listener.local_addr().map_err(refused)?);
        let server = Server::new(listener, FakeBackendOptions { limit, query_time }, SqlSource(store.usage))
            .hosts(hosts);
        let listening = Listening { fake_backend: true, notice: NOTICE, url, limit };
        session.terminal().show(&listening, |_| {
            format!("{NOTICE}\nlistening at {}, {limit} queries at once, {query_time:?} each", listening.url)
        })?;
        server.serve(stop).await?;
        Ok(Exit::Ok)
    }
}
