//! The broker on a real RabbitMQ: messages of other clients, and what happens when the server fails. What every engine does is
//! in `conformance.rs`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers included")]

mod connecting;
mod faults;
mod letters;
mod rabbit;
