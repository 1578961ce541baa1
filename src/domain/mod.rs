//! What plugd is about, as plain data and pure functions: no tokio, no tonic, no database, no clock, no randomness.

pub mod access;
pub mod change;
pub mod commit;
pub mod configuration;
pub mod error;
pub mod events;
pub mod id;
pub mod json;
pub mod lifecycle;
pub mod manifest;
pub mod origin;
pub mod package;
pub mod plugin;
pub mod program;
pub mod run;
pub mod state;
pub mod text;

pub use commit::Commit;
pub use error::{Error, Reason, Result};
pub use id::{PluginId, RunId, TokenId};
pub use plugin::{Desired, Digest, Plugin, PreviousPackage, Reported};
pub use run::{CAUSE, Exit, Failure, RunEvent, Stage};
pub use state::{ActiveState, Mode, State};
