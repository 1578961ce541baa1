//! plugd: a control plane for plugins.
//!
//! ```text
//!                         what is desired                    what happens
//!  grpc ──► supervisor::Handle ──► Actor ◄──────────── runtime (processes), link (connections)
//!   ▲                                │ step(event) -> effects            ▲
//!   │                                ▼                                   │ plugins call
//!  rest, console, cli         domain::lifecycle                         bus ◄──► applications
//!                                    │ every change
//!                                    ▼
//!                          store (one writer, the journal)
//!                                    │ commits, in one order
//!                                    ▼
//!                      supervisor::Projection: registry (reads), hub (watches)
//! ```
//!
//! The arrows are data. Which module may import which is the list `ARROWS` in `tests/architecture.rs`; `domain` imports none.
//!
//! # Where to look
//!
//! - **A state changes** in `domain::lifecycle` only: `step` takes an event and answers with effects, which
//!   `supervisor::actor` carries out. `domain/lifecycle/table.txt` lists every state and event.
//! - **A call is refused for its role** in `grpc::auth`, which has the table of who may call what. `rest::access` says the
//!   same earlier, before it reads a body. What is told of it to the audit trail is in `grpc::audit`, how that is kept in
//!   `store::audit`.
//! - **A change is stored** by `store::writer`. What is desired takes effect once it is written, and is answered once it is synced:
//!   `store::durable`.
//! - **A plugin dials in**: `link::handshake` reads what it shows, `supervisor::connections` says whether it is good.
//! - **What a plugin answers is checked** in `link::envelope` (its shape) and `link::pending` (that it is the answer to what
//!   was called).
//! - **plugd dies** (`kill -9`): the processes of `runtime::keeper` kill what it ran. The next start waits for that, reads the
//!   store, and each actor starts what is desired (`app::boot`).
//! - **A file says what plugins should be**: `cli::apply`, where `plan` compares and knows no server.
//! - **A collector of traces is told** what `telemetry::trace` has: requests and calls where they are answered, starts and stops
//!   in `supervisor::actor::spans`.
//! - **A receiver of webhooks is told**: `hooks::follower` reads the journal and posts, `domain::hook` says what is wanted. Whom plugd may
//!   ask at all, for packages too, is in `outbound::target`.
//! - **What a plugin uses of the host** is sampled in `runtime::usage` and is in no record: `grpc::plugin` adds it to what it
//!   answers.
//! - **A new RPC** begins in `proto/plugd/v1`; the head of `grpc` says which files come after that.
//! - **A new field of a plugin's status**: `domain::plugin::Reported`, a column (`store::entity`, `store::migration`,
//!   `store::rows`), `proto/plugd/v1/plugin.proto`, `grpc::convert`, and who shows it: `rest::views`, `cli::show`.
//!
//! "CONTRACT 3.5" in a comment is a section of what clients and plugins of Storyden rely on; the tests that show it are in
//! `tests/contract`, a file a section.

pub mod api;
mod app;
mod backup;
mod boot_time;
mod bus;
pub mod cli;
mod cluster;
mod config;
mod console;
#[cfg(test)]
mod counts;
mod doctor;
mod domain;
mod fetch;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grpc;
mod hooks;
mod link;
mod listener;
mod logs;
mod outbound;
mod rest;
mod runtime;
mod store;
mod storyden;
mod supervisor;
mod telemetry;
mod tls;
