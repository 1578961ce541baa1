//! Filling an empty database: from a backup, or from another database.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{Backup, NOBODY};
use crate::{
    domain::Digest,
    store::{Address, Blank, Hold, PackageStore, Snapshot, Standing, Table},
};

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
