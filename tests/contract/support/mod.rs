//! What the scenarios of the contract need beside the harness.

mod bus;
mod keys;
mod outside;
mod versions;
mod wire;

pub(super) use bus::{Application, call_plugin, publish, try_publish};
pub(super) use keys::keys;
pub(super) use outside::{access, external, register, settle};
pub(super) use versions::{DATA_FILES, download, replace, version_of, versioned};
pub(super) use wire::Wire;
