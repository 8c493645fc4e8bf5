//! The broker of a scenario: a private one that a test may harm, or a vhost of the shared one.

use std::sync::atomic::{AtomicU32, Ordering};

use support::servers::{self, RabbitMq, Shared};
use support::{Context, Result};

/// The broker of a scenario.
pub(in crate::distributed) enum Broker {
    Own(Box<RabbitMq>),
    Shared(&'static Shared, String),
}

impl Broker {
    pub(super) fn start(config: Option<&str>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        if let Some(config) = config {
            return Ok(Self::Own(Box::new(RabbitMq::start_with(config)?)));
        }
        let shared = servers::shared()?.context("the shared servers have disappeared")?;
        let name = format!("faults-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        shared.vhost(&name)?;
        Ok(Self::Shared(shared, name))
    }

    pub(in crate::distributed) fn url(&self) -> Result<String> {
        match self {
            Self::Own(own) => Ok(own.url()),
            Self::Shared(shared, name) => {
                let address = shared.amqp_url().rsplit_once('/').context("a url without a vhost")?.0;
                Ok(format!("{address}/{name}"))
            }
        }
    }

    pub(in crate::distributed) fn vhost(&self) -> &str {
        match self {
            Self::Own(_) => "/",
            Self::Shared(_, name) => name,
        }
    }

    pub(in crate::distributed) fn rabbitmqctl(&self, args: &[&str]) -> Result<String> {
        match self {
            Self::Own(own) => own.rabbitmqctl(args),
            Self::Shared(shared, _) => shared.rabbitmqctl(args),
        }
    }
}
