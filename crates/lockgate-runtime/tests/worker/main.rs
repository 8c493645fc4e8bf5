//! A worker on the memory engine, in virtual time: what happens to jobs that end well, end badly, or do not end.

#![cfg(test)]

mod faults;
mod messages;
mod stage;

mod drain;
mod groups;
mod leftovers;
mod outcomes;
mod rates;
mod slots;
mod starts;
