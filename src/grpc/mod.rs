//! The gRPC API: who may call, and what travels.

pub mod access;
pub mod access_service;
pub mod auth;
pub mod chunks;
pub mod convert;
pub mod page;
pub mod permissions;
pub mod status;

pub use access::{Access, Caller};
pub use access_service::{AccessService, TokenStore};
pub use auth::{AuthLayer, caller};
pub use status::status;
