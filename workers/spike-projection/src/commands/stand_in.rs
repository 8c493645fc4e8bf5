//! `stand-in`: a backend for the source `http` where there is none.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use clap::{ArgMatches, Args, FromArgMatches};
use lockgate_cli::{Command, Exit, Problem, Session, signals, times};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::program;
use crate::stand_in::{NOTICE, StandIn as Server, StandInOptions};
use crate::usage::SqlSource;

/// `stand-in`
pub struct StandIn;

#[derive(Debug, Args)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// A host name that requests may be addressed to, besides localhost and its own addresses; may be repeated
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Queries that run at once; the next one is refused
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// How long each query takes
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = times::parse_duration)]
    query_time: Duration,
}

#[derive(Debug, Serialize)]
struct Listening {
    stand_in: bool,
    notice: &'static str,
    url: String,
    limit: u32,
}

#[async_trait]
impl Command for StandIn {
    fn spec(&self) -> clap::Command {
        let command =
            clap::Command::new("stand-in").about("Stands in for a usage backend, and counts its queries");
        Arguments::augment_args(command)
            .before_help(
                "Examples:\n  {bin} stand-in --listen 127.0.0.1:8123 --limit 100\n      then work with \
                 LOCKGATE__SPIKE_PROJECTION__SOURCE=http\n",
            )
            .after_help(
                "It answers GET /usage?organization_id=..&from=..&to=.. from the local database, GET /status with \
                 its own count\nof queries (running, peak, refused, served), and POST /reset, which begins the count \
                 anew. A query whose caller\ngoes away runs on, and counts, until its time has passed.",
            )
    }

    async fn run(&self, matches: &ArgMatches, session: &Session) -> anyhow::Result<Exit> {
        let Arguments { listen, hosts, limit, query_time } = Arguments::from_arg_matches(matches)?;
        let store = program::store(session.lockgate().await?);
        let stop = signals::drain_on_signal(session.terminal())?;
        let refused = |error: std::io::Error| {
            let text =
                format!("cannot listen at {listen}: {error}; give another address, or port 0 for a free one");
            Problem::new(Exit::Unavailable, text)
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let url = format!("http://{}", listener.local_addr().map_err(refused)?);
        let server =
            Server::new(listener, StandInOptions { limit, query_time }, SqlSource(store.usage)).hosts(hosts);
        let listening = Listening { stand_in: true, notice: NOTICE, url, limit };
        session.terminal().show(&listening, |_| {
            format!("{NOTICE}\nlistening at {}, {limit} queries at once, {query_time:?} each", listening.url)
        })?;
        server.serve(stop).await?;
        Ok(Exit::Ok)
    }
}
