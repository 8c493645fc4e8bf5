//! Projects usage spikes for every organization, under a limit of slots.
//!
//! Read it in this order: [`projection`] (the algorithm, pure) and [`gate`] (how good it is, on the [`bundled`] series);
//! [`job`] (one organization, from usage to rows); [`usage`] (where usage comes from) and [`stand_in`] (a backend where
//! there is none); [`store`] (the tables), [`import`] and [`manifest`] (the way into them, and out into a run);
//! [`program`] (all of it handed to the kit), [`commands`] and [`demo`].

pub mod bundled;
pub mod category;
pub mod commands;
pub mod config;
pub mod demo;
pub mod gate;
pub mod hour;
pub mod import;
pub mod job;
pub mod manifest;
pub mod program;
pub mod projection;
pub mod stand_in;
pub mod store;
pub mod usage;
