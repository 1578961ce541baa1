//! plugd: a control plane for plugins.

pub mod api;
pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod domain;
pub mod fetch;
pub mod grpc;
pub mod link;
pub mod logs;
pub mod rest;
pub mod runtime;
pub mod server;
pub mod store;
pub mod supervisor;
