//! The gRPC API: who may call, and what travels.

pub mod access;
pub mod access_service;
pub mod auth;
mod bus_service;
pub mod chunks;
pub mod convert;
pub mod pace;
pub mod page;
pub mod permissions;
pub mod plugin_service;
pub mod status;
pub mod undecodable;

pub use access::{Access, Caller};
pub use access_service::{AccessService, TokenStore};
pub use auth::{AuthLayer, caller};
pub use bus_service::BusService;
pub use plugin_service::PluginService;
pub use status::status;
