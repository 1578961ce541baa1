//! plugd: a control plane for plugins.

pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod runtime;
