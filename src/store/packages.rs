//! The bytes of packages, in a folder, each under its digest.

mod owners;

use std::{fmt::Display, io, path::Path as FilePath, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{Error as ObjectError, ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use sha2::{Digest as _, Sha256};

use self::owners::Owners;
use super::error::unavailable;
use crate::domain::{Digest, Error, Reason, Result};

/// A store of packages. Cheap to clone.
#[derive(Clone)]
pub struct Packages {
    objects: Arc<dyn ObjectStore>,
    owners: Arc<Owners>,
}

impl Packages {
    /// Opens the store in this folder, which is created where there is none, for the database of this epoch. With
    /// `has_rival`, packages there that no database has claimed are taken for another's.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when the folder can't be made or used.
    pub async fn open(folder: &FilePath, epoch: &str, has_rival: bool) -> Result<Self> {
        let made = tokio::fs::create_dir_all(folder).await;
        made.map_err(|error| hide("made", &error))?;
        clear_unfinished(folder).await.map_err(|error| hide("cleared", &error))?;
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(|error| hide("opened", &error))?;
        let owners = Arc::new(Owners::of(folder, epoch, has_rival));
        let packages = Self { objects: Arc::new(objects.with_fsync(true)), owners };
        packages.note_others().await;
        Ok(packages)
    }

    /// Stores a package: wholly and durably, or not at all.
    ///
    /// # Errors
    /// `INTERNAL` when it is not the digest of these bytes; `STORE_UNAVAILABLE`.
    pub async fn put(&self, digest: Digest, bytes: Bytes) -> Result<()> {
        let bytes = verified(digest, bytes, "to be stored").await?;
        self.with_owners(Owners::join).await.and_then(|joined| joined.map_err(|error| hide("claimed", &error)))?;
        self.objects.put(&path(digest), bytes.into()).await.map_err(|error| hide("written", &error))?;
        Ok(())
    }

    /// Reads a package.
    ///
    /// # Errors
    /// `PACKAGE_NOT_FOUND`; `INTERNAL` when its bytes have changed since it was stored; `STORE_UNAVAILABLE`.
    pub async fn get(&self, digest: Digest) -> Result<Bytes> {
        let read = async { self.objects.get(&path(digest)).await?.bytes().await };
        match read.await {
            Ok(bytes) => verified(digest, bytes, "in the store").await,
            Err(ObjectError::NotFound { .. }) => Err(not_found(digest)),
            Err(error) => Err(hide("read", &error)),
        }
    }

    /// All packages, and when each was stored.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn list(&self) -> Result<Vec<(Digest, SystemTime)>> {
        let listed = self.objects.list(None).try_collect::<Vec<_>>().await.map_err(|error| hide("listed", &error))?;
        let package = |meta: ObjectMeta| Some((digest_of(&meta.location)?, SystemTime::from(meta.last_modified)));
        Ok(listed.into_iter().filter_map(package).collect())
    }

    /// Deletes a package; one that is not there is deleted already. Where another database has packages in the folder,
    /// none is deleted: it may be that one's.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn delete(&self, digest: Digest) -> Result<()> {
        if !self.with_owners(Owners::is_alone).await? {
            tracing::debug!(%digest, "a package is kept: another database may need it");
            return Ok(());
        }
        match self.objects.delete(&path(digest)).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(error) => Err(hide("deleted", &error)),
        }
    }

    async fn note_others(&self) {
        if self.with_owners(Owners::has_others).await.unwrap_or(false) {
            let path = self.owners.path();
            tracing::warn!(
                "another database has packages in the same folder, so none is deleted there; once only this one is used, \
                 delete {}",
                path.display()
            );
        }
    }

    async fn with_owners<T: Send + 'static>(&self, work: impl FnOnce(&Owners) -> T + Send + 'static) -> Result<T> {
        let owners = Arc::clone(&self.owners);
        tokio::task::spawn_blocking(move || work(&owners)).await.map_err(|error| hide("claimed", &error))
    }
}

/// Deletes what a crash in the middle of a write has left: `<package>#<number>`, which the object store never lists.
async fn clear_unfinished(folder: &FilePath) -> io::Result<()> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        let package = name.to_str().and_then(|name| name.split_once('#')).map(|(package, _)| Path::from(package));
        if package.as_ref().and_then(digest_of).is_some() {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

/// `sha256-` and 64 digits: no colon, which some file systems refuse.
fn path(digest: Digest) -> Path {
    Path::from(digest.to_string().replace(':', "-"))
}

fn digest_of(path: &Path) -> Option<Digest> {
    path.as_ref().replacen('-', ":", 1).parse().ok()
}

/// The bytes, if they are those of the digest.
async fn verified(digest: Digest, bytes: Bytes, place: &str) -> Result<Bytes> {
    let defect = |what: String| {
        tracing::error!(%digest, what, "a package is not sound");
        Error::new(Reason::Internal, format!("package {digest} {place} {what}")).with("package_digest", digest)
    };
    // Hashing the largest package takes a good part of a second.
    let hashed = tokio::task::spawn_blocking(move || (Sha256::digest(&bytes), bytes)).await;
    let (found, bytes) = hashed.map_err(|error| defect(format!("could not be hashed: {error}")))?;
    let found = Digest(found.into());
    if found == digest { Ok(bytes) } else { Err(defect(format!("has the digest {found}"))) }
}

fn not_found(digest: Digest) -> Error {
    let error = Error::new(Reason::PackageNotFound, format!("package {digest} is not in the store"));
    error.with("package_digest", digest)
}

fn hide(what: &str, error: &impl Display) -> Error {
    tracing::error!(%error, "packages could not be {what}");
    unavailable()
}
