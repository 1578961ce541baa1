//! plugd: a control plane for plugins.
//!
//! ```text
//!                         what is desired                    what happens
//!  grpc ──► supervisor::Handle ──► Actor ◄──────────── runtime (processes), link (connections)
//!   ▲                                │ step(event) -> effects            ▲
//!   │                                ▼                                   │ plugins call
//!  rest (client)              domain::lifecycle                         bus ◄──► applications
//!                                    │ every change
//!                                    ▼
//!                          store (one writer, the journal)
//!                                    │ commits, in one order
//!                                    ▼
//!                      supervisor::Projection: registry (reads), hub (watches)
//! ```
//!
//! `domain` is pure; each arrow of imports is one that `tests/architecture.rs` allows.

pub mod api;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod domain;
pub mod fetch;
pub mod files;
pub mod grpc;
pub mod link;
pub mod listener;
pub mod logs;
pub mod rest;
pub mod runtime;
pub mod store;
pub mod storyden;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
