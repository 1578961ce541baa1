//! A backup: one file with all that a plugd remembers, at one revision. A zip archive of
//!
//! - `TABLE.jsonl`, the rows of each table as lines of JSON, so that it fits whatever keeps the records;
//! - `packages/sha256-…`, the packages that plugins refer to;
//! - `manifest.json`, which says what all that is, with the digest of each; its own digest is the archive's comment.
//!
//! Logs are not in it, nor the folders of plugins: they are laid out again from the packages. It holds the tokens of
//! external plugins and what configurations and policies keep secret, so it is for its owner's eyes only.
//!
//! The same goes from one database into another without a file between: [`migrate`].

mod carry;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use carry::{Moved, migrate, restore};
pub use read::Backup;
pub use write::write;

use crate::{
    domain::Digest,
    store::{Standing, Table},
};

/// The form of a backup. A change that this plugd could not read has the next.
const FORMAT: u32 = 1;

/// On whose behalf packages are looked at: who has no lease deletes none.
const NOBODY: &str = "";

/// The name of what says what is in a backup.
const MANIFEST: &str = "manifest.json";

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of plugd that wrote it.
    pub plugd: String,
    /// When that was.
    pub time: Timestamp,
    /// Where the history stood.
    pub standing: Standing,
    /// What each table has.
    pub tables: BTreeMap<Table, Rows>,
    /// The packages and their bytes.
    pub packages: BTreeMap<Digest, u64>,
}

/// What a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// How many rows.
    pub count: u64,
    /// The digest of their lines.
    pub digest: Digest,
}

impl Contents {
    /// How many plugins there are.
    pub fn plugins(&self) -> u64 {
        self.tables.get(&Table::Plugin).map_or(0, |rows| rows.count)
    }
}

/// The name of a table's rows in the archive.
fn table_name(table: Table) -> String {
    format!("{}.jsonl", table.name())
}

/// The name of a package in the archive.
fn package_name(digest: Digest) -> String {
    format!("packages/{digest}").replace(':', "-")
}
