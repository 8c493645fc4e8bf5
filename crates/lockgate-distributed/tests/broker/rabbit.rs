//! Queues of a test's own on a RabbitMQ. It must never break the shared server: a test that does, takes a private one.

use std::sync::Arc;

use lockgate_distributed::{BrokerOptions, RabbitBroker};
use secrecy::ExposeSecret;
use support::servers::{self, RabbitMq};
use uuid::Uuid;

#[path = "../servers/database.rs"]
pub(crate) mod database;
#[path = "../servers/queues.rs"]
mod queues;

/// The queues that the tests use.
const QUEUES: [&str; 4] = ["q", "other", "fine", "copy"];

/// Queues of our own on a server that nobody breaks meanwhile; `None`, said aloud: there are no servers on this machine.
pub(crate) fn shared() -> Option<Place> {
    Some(Place::on(servers::shared().unwrap()?.amqp_url(), true))
}

/// A server to break.
pub(crate) fn to_break() -> Option<(RabbitMq, Place)> {
    let rabbit = servers::available().unwrap().then(|| RabbitMq::start().unwrap())?;
    let place = Place::on(&rabbit.url(), false);
    Some((rabbit, place))
}

/// A broker with queues of its own.
pub(crate) struct Place {
    pub(crate) broker: Arc<RabbitBroker>,
    options: BrokerOptions,
    is_shared: bool,
}

impl Place {
    /// A new prefix: no other test sees its queues.
    fn on(url: &str, is_shared: bool) -> Self {
        let prefix = format!("{}.", Uuid::now_v7().simple());
        let options = BrokerOptions { prefix, ..BrokerOptions::new(url, "test") };
        Self { broker: Arc::new(RabbitBroker::connect(options.clone()).unwrap()), options, is_shared }
    }

    /// A foreign client, with the driver alone.
    pub(crate) async fn foreigner(&self) -> lapin::Channel {
        let url = self.options.url.expose_secret();
        let connection =
            lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
        connection.create_channel().await.unwrap()
    }

    /// Where the server is, with its password.
    pub(crate) fn url(&self) -> &str {
        self.options.url.expose_secret()
    }

    /// The user of the url.
    pub(crate) fn user(&self) -> String {
        let url: lapin::uri::AMQPUri = self.options.url.expose_secret().parse().unwrap();
        url.authority.userinfo.username
    }

    pub(crate) fn queue(&self, name: &str) -> lapin::types::ShortString {
        format!("{}{name}", self.options.prefix).into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A private server goes with its queues, and may not answer any more.
        if !self.is_shared {
            return;
        }
        queues::delete(self.options.url.expose_secret(), &self.options.prefix, &QUEUES);
    }
}
