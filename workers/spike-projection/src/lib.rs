//! Projects usage spikes for every organization. Slots limit the queries on the usage backend.
//!
//! Read the modules in this order: [`projection`] (the algorithm, without side effects); [`job`] (one
//! organization, from usage to stored projections); [`usage`] (the sources of usage) and [`fake_backend`] (a
//! backend for demos and tests); [`store`] (the tables), [`import`] and [`manifest`] (input of the tables and
//! of runs); [`program`] (registers everything with Lockgate), [`commands`] and [`demo`]. [`bundled`] has the
//! real series used by the demo and by the forecast check in `tests/it/forecast.rs`.

pub mod bundled;
pub mod category;
pub mod commands;
pub mod config;
pub mod demo;
pub mod fake_backend;
pub mod hour;
pub mod import;
pub mod job;
pub mod manifest;
pub mod program;
pub mod projection;
pub mod store;
pub mod usage;
