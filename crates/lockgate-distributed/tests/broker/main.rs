//! Tests of the broker on a real RabbitMQ: messages of other clients, and failures of the server. The suite
//! of all engines is in `conformance.rs`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers included")]

mod connecting;
mod faults;
mod letters;
mod rabbit;
