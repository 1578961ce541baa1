//! plugd: a control plane for plugins.

pub mod api;
pub mod domain;
pub mod grpc;
pub mod logs;
