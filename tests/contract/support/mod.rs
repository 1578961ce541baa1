//! What the scenarios of the contract need beside the harness.

mod bus;
mod keys;
mod outside;
mod versions;
mod wire;

pub(crate) use bus::{Application, call_plugin, publish, try_publish};
pub(crate) use keys::keys;
pub(crate) use outside::{access, external, register, settle};
pub(crate) use versions::{DATA_FILES, download, replace, version_of, versioned};
pub(crate) use wire::Wire;
