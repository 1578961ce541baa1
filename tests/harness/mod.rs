//! What the scenarios stand on: the real binary in a process group of its own, real plugins, real clients.
//!
//! Nothing here sleeps or tries again. A wait is for an event (a frame of a watch, a line of a log, the end of a
//! process) or for a predicate, and [`HANG`] bounds each, so that a defect fails a test instead of hanging it.

mod api;
mod beats;
mod certificates;
mod cluster;
mod collector;
mod command;
mod database;
mod guide;
mod logs;
mod package;
mod pages;
mod processes;
mod prometheus;
mod proxy;
mod receiver;
mod rest;
mod rounds;
mod server;
mod serving;
mod shapes;
mod signals;
mod sse;
mod wait;
mod watch;
mod way;

pub(crate) use api::{Api, details, field_violations, reason};
pub(crate) use certificates::Certificates;
pub(crate) use cluster::{Cluster, free_address, role};
pub(crate) use collector::{Collector, Span};
pub(crate) use command::{
    Output, Run, Running, cli, grpcurl, grpcurl_encrypted, is_interrupted_or_ok, program, python, repository,
    rest_shim, rest_shim_trusting, serve,
};
pub(crate) use database::{OneDatabase, PASSWORD, Server};
pub(crate) use guide::{Reader, follow, follow_as};
pub(crate) use logs::LogStream;
pub(crate) use package::{ZipEntry, chaos, chaos_manifest, external_manifest, packaged, zipped};
pub(crate) use processes::{Process, children, gone, is_alive, kill_9, url_told_to, variable_of};
pub(crate) use prometheus::Prometheus;
pub(crate) use proxy::{Proxy, ProxyKind};
pub(crate) use receiver::{Posted, Receiver};
pub(crate) use rest::{Answer, Body, Rest};
pub(crate) use rounds::{repeat, rounds, skip, tell_times};
pub(crate) use server::{CONTAINER, Knobs, Plugd, QUICK, search_path};
pub(crate) use shapes::{failure_of, message_of, state_of, status_of};
pub(crate) use signals::deafen;
pub(crate) use sse::{Event, Sse};
pub(crate) use wait::{eventually, eventually_async, within};
pub(crate) use watch::{Cursor, Watch, states};
pub(crate) use way::Way;
