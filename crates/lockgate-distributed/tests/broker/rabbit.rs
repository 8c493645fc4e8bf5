//! Queues of one test on a RabbitMQ. A test that breaks its server starts a private one, never the shared
//! one.

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

/// Returns queues on the shared server; `None`, with a message, when this machine has no servers.
pub(crate) fn shared() -> Option<Fixture> {
    Some(Fixture::on(servers::shared().unwrap()?.amqp_url(), true))
}

/// Starts a private server, which a test may break.
pub(crate) fn private() -> Option<(RabbitMq, Fixture)> {
    let rabbit = servers::available().unwrap().then(|| RabbitMq::start().unwrap())?;
    let fixture = Fixture::on(&rabbit.url(), false);
    Some((rabbit, fixture))
}

/// A broker with queues of its own.
pub(crate) struct Fixture {
    pub(crate) broker: Arc<RabbitBroker>,
    options: BrokerOptions,
    is_shared: bool,
}

impl Fixture {
    /// Uses a new prefix, so that no other test sees its queues.
    fn on(url: &str, is_shared: bool) -> Self {
        let prefix = format!("{}.", Uuid::now_v7().simple());
        let options = BrokerOptions { prefix, ..BrokerOptions::new(url, "test") };
        Self { broker: Arc::new(RabbitBroker::connect(options.clone()).unwrap()), options, is_shared }
    }

    /// Opens a channel of a foreign client, which uses only the driver.
    pub(crate) async fn foreign_channel(&self) -> lapin::Channel {
        let url = self.options.url.expose_secret();
        let connection =
            lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
        connection.create_channel().await.unwrap()
    }

    /// Returns the URL of the server, with its password.
    pub(crate) fn url(&self) -> &str {
        self.options.url.expose_secret()
    }

    /// Returns the user in the URL.
    pub(crate) fn user(&self) -> String {
        let url: lapin::uri::AMQPUri = self.options.url.expose_secret().parse().unwrap();
        url.authority.userinfo.username
    }

    pub(crate) fn queue(&self, name: &str) -> lapin::types::ShortString {
        format!("{}{name}", self.options.prefix).into()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // A private server ends with its queues, and may not answer any more.
        if !self.is_shared {
            return;
        }
        queues::delete(self.options.url.expose_secret(), &self.options.prefix, &QUEUES);
    }
}
