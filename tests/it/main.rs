//! The system tests: the binaries as a user runs them, and the rules of the repository. One file per
//! behaviour.

#![cfg(test)]

mod bad_input;
mod bench;
mod clickhouse;
mod crash;
mod demo;
mod deploy;
mod distributed;
mod files;
mod foreign;
mod lost_file;
mod operate;
mod organizations;
mod planning;
mod rates;
mod secrets;
mod servers;
mod stop;
mod tidy;
mod words;
