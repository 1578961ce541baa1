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

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use read::Backup;
pub use write::write;

use crate::{
    domain::Digest,
    store::{Address, Blank, Hold, PackageStore, Snapshot, Standing, Table},
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

/// What went from one database into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Plugins.
    pub plugins: u64,
    /// Packages.
    pub packages: usize,
    /// The newest revision.
    pub revision: u64,
}

/// Puts what a backup has into an empty database, which no plugd uses, and its packages into this folder.
///
/// # Errors
/// The database has records, or something can't be written. It has no records then.
pub async fn restore(backup: &mut Backup, to: Address, packages: &Path) -> Result<()> {
    let mut blank = open(to, &backup.contents.standing).await?;
    let id = blank.database_id().to_owned();
    let filled = async {
        let store = PackageStore::open(packages, &id).await?;
        for digest in backup.contents.packages.clone().into_keys() {
            add_package(&mut blank, &store, digest, backup.package(digest)?).await?;
        }
        for table in Table::ALL {
            for line in backup.lines(table)? {
                blank.add(table, line?).await?;
            }
        }
        Ok(blank.finish().await?)
    };
    let filled = filled.await;
    tidied(filled, packages, &id)
}

/// Puts what is in a database, which no plugd uses, into an empty one. The packages of both are below this folder.
///
/// # Errors
/// A plugd uses one of them, the other has records, or something can't be read or written. The other has no records then.
pub async fn migrate(from: &Address, to: Address, packages: &Path) -> Result<Moved> {
    let hold = Hold::on(from).await.with_context(|| format!("the database {from} can't be used"))?;
    let snapshot = Snapshot::of(from).await.with_context(|| format!("the database {from} can't be read"))?;
    let mut blank = open(to, &snapshot.standing).await?;
    let id = blank.database_id().to_owned();
    let filled = async {
        let old = PackageStore::of(from, packages, &snapshot.database_id, NOBODY).await?;
        let new = PackageStore::open(packages, &id).await?;
        let mut moved = Moved { plugins: 0, packages: 0, revision: snapshot.standing.revision };
        for digest in snapshot.packages().await? {
            add_package(&mut blank, &new, digest, old.get(digest).await?).await?;
            moved.packages += 1;
        }
        for table in Table::ALL {
            let mut rows = snapshot.rows(table);
            while let Some(line) = rows.try_next().await? {
                blank.add(table, line).await?;
                moved.plugins += u64::from(table == Table::Plugin);
            }
        }
        blank.finish().await?;
        Ok(moved)
    };
    let filled = filled.await;
    let moved = tidied(filled, packages, &id)?;
    snapshot.close().await?;
    hold.release().await?;
    Ok(moved)
}

/// Puts a package where the packages of this database are: into it, or into a file.
async fn add_package(blank: &mut Blank, files: &PackageStore, digest: Digest, bytes: Bytes) -> Result<()> {
    if !blank.add_package(digest, &bytes).await? {
        files.put(digest, bytes).await?;
    }
    Ok(())
}

async fn open(to: Address, standing: &Standing) -> Result<Blank> {
    let what = format!("the database {to} can't be filled");
    Blank::open(to, standing).await.context(what)
}

/// The same. Where it failed, no database of that id will ever refer to its packages.
fn tidied<T>(done: Result<T>, packages: &Path, id: &str) -> Result<T> {
    if done.is_err() {
        let _ = fs::remove_dir_all(packages.join(id));
    }
    done
}
