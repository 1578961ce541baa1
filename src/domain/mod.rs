//! What plugd is about, as plain data and pure functions: no tokio, no tonic, no database, no clock, no randomness.

pub mod configuration;
pub mod error;
pub mod events;
pub mod id;
pub mod manifest;
pub mod package;
pub mod plugin;
pub mod state;

pub use error::{Error, Reason, Result};
pub use id::{PluginId, RunId, TokenId};
pub use plugin::{Desired, Plugin, Reported};
pub use state::{ActiveState, Mode, State};
