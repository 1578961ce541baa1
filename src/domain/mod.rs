//! What plugd is about, as plain data and pure functions: no tokio, no tonic, no database, no clock, no randomness.

pub mod access;
pub mod audit;
pub mod backoff;
pub mod change;
pub mod configuration;
pub mod error;
pub mod events;
pub mod finding;
pub mod hook;
pub mod id;
pub mod json;
pub mod lifecycle;
pub mod manifest;
pub mod package;
pub mod plugin;
pub mod policy;
pub mod program;
pub mod run;
pub mod secret;
pub mod text;
pub mod usage;

pub use error::{Error, Reason, Result};
pub use id::{Digest, HookId, PluginId, RunId, TokenId};
pub use plugin::{ActiveState, Commit, Desired, Mode, Plugin, PreviousPackage, Reported, State};
pub use run::{Confinement, Exit, Failure, Placement, RunEvent, SandboxLevel, Stage};
pub use secret::Secret;
pub use usage::Usage;
