//! End-to-end tests: the real binary over real sockets, real plugin processes, clients that were not written here.
//!
//! A file is a topic. `harness` has what they stand on; the plugins are the examples, the tools come from `make tools`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scenario that can't go on has failed")]
#![allow(clippy::large_futures, reason = "a scenario is one future, and runs once")]

mod about;
mod access;
mod activation;
mod audit;
mod backup;
mod cli;
mod cluster;
mod connections;
mod container;
mod contract;
mod crashes;
mod data_folder;
mod databases;
mod dev;
mod docs;
mod doctor;
mod encryption;
mod faults;
mod foreign_clients;
mod harness;
mod history;
mod hooks;
mod killed;
mod leftovers;
mod listing;
mod logs;
mod metrics;
mod misbehaviour;
mod openapi;
mod output;
mod plugin_users;
mod policy;
mod prometheus;
mod proxies;
mod refusals;
mod requests;
mod rest_life;
mod rest_watch;
mod revoked;
mod service;
mod shut_in;
mod shutdown;
mod signals;
mod top;
mod traces;
mod usage;
mod watch_stream;
mod watchers;
