//! The broker on a real RabbitMQ: the public suite of all engines, and what happens when the server fails.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers included")]

mod conformance;
mod faults;
mod letters;
mod rabbit;
