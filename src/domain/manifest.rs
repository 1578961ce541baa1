//! The manifest of a plugin.

use serde::{Deserialize, Serialize};

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's own id; not the installation's.
    pub id: String,
}
