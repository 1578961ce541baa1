//! Packages: files named by their digests, in a folder of the database whose plugins refer to them, so that another
//! database in the same data folder keeps its own. Where the database is on a server it has them too ([`PackageRows`]), for the
//! other plugd that use it; what is in the folder are copies then, which are fetched when they are needed.
//!
//! A package is written before a plugin refers to it. Once none does it is left to the next sweep, which deletes what is
//! older than [`GRACE`]: so nobody has to delete anything at the right moment, and what a crash leaves goes as well.

mod uses;

use std::{
    collections::HashSet,
    fmt::Display,
    fs::{self, DirEntry, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use self::uses::{Deletion, Upload, Uses};
use super::{Address, error::unavailable, package_rows::PackageRows};

use crate::{
    domain::{
        Digest, Error, Reason, Result,
        package::{MAX_ARCHIVE, digest_of},
    },
    files,
};

/// The age at which a package that nobody refers to is deleted.
pub const GRACE: Duration = Duration::from_secs(3600);
/// How long a package may take to be written or read; a disk that takes longer hangs.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);
/// Packages that are written or read at once: no more threads and memory than these need wait for a disk that hangs.
const AT_ONCE: usize = 16;
/// How the names of files begin that are not whole yet.
const UNFINISHED: &str = "unfinished-";

/// The packages of a database. Cheap to clone.
#[derive(Clone)]
pub struct PackageStore {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    turns: Arc<Semaphore>,
    uses: Arc<Uses>,
    rows: Option<PackageRows>,
    /// Of the lease, on whose behalf rows are deleted; nobody where none are.
    owner: String,
    #[cfg(test)]
    hang: std::sync::Mutex<Option<tests::Hanging>>,
}

impl PackageStore {
    /// The packages of the database with this id, below this folder; it is created where there is none.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when the folder can't be made.
    pub async fn open(folder: &Path, database_id: &str) -> Result<Self> {
        Self::with(folder, database_id, None, "").await
    }

    /// Those of the database at this address, which has this id. What is swept is deleted on behalf of this owner of its lease.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when the folder can't be made or the database not be reached.
    pub async fn of(address: &Address, folder: &Path, database_id: &str, owner: &str) -> Result<Self> {
        let rows = PackageRows::open(address).await.map_err(|error| hide("opened", &error))?;
        Self::with(folder, database_id, rows, owner).await
    }

    async fn with(folder: &Path, database_id: &str, rows: Option<PackageRows>, owner: &str) -> Result<Self> {
        let shared = Shared {
            folder: folder.join(database_id),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            uses: Arc::default(),
            rows,
            owner: owner.to_owned(),
            #[cfg(test)]
            hang: std::sync::Mutex::default(),
        };
        let store = Self { shared: Arc::new(shared) };
        in_time(store.on_disk(|folder| make(folder).map_err(|error| refuse("opened", &error)))).await?;
        Ok(store)
    }

    /// Stores a package, wholly and durably, for a plugin to refer to it while the upload is held. One that is not written
    /// in time may be written yet, and is swept after that.
    ///
    /// # Errors
    /// `INTERNAL` when it is not the digest of these bytes; `STORE_UNAVAILABLE`.
    pub async fn put(&self, digest: Digest, bytes: Bytes) -> Result<Upload> {
        in_time(async {
            let (upload, written) = (self.shared.uses.upload(digest).await, bytes.clone());
            let upload = self.on_disk(move |folder| write(folder, digest, &written).map(|()| upload)).await?;
            if let Some(rows) = &self.shared.rows {
                rows.put(digest, &bytes).await.map_err(|error| hide("written", &error))?;
            }
            Ok(upload)
        })
        .await
    }

    /// The bytes of a package.
    ///
    /// # Errors
    /// `PACKAGE_NOT_FOUND`; `INTERNAL` when its bytes have changed since it was stored; `STORE_UNAVAILABLE`.
    pub async fn get(&self, digest: Digest) -> Result<Bytes> {
        in_time(async {
            let found = self.on_disk(move |folder| read(folder, digest)).await;
            match (&self.shared.rows, found) {
                // The copy is missing, or has changed.
                (Some(rows), Err(error)) if [Reason::PackageNotFound, Reason::Internal].contains(&error.reason) => {
                    self.fetch(rows, digest).await
                }
                (_, found) => found,
            }
        })
        .await
    }

    /// A package from the database, of which a copy is kept. Who waited for another to fetch it finds that.
    async fn fetch(&self, rows: &PackageRows, digest: Digest) -> Result<Bytes> {
        let _fetch = self.shared.uses.fetch(digest).await;
        if let Ok(bytes) = self.on_disk(move |folder| read(folder, digest)).await {
            return Ok(bytes);
        }
        let bytes = rows.get(digest).await.map_err(|error| hide("read", &error))?;
        let bytes = Bytes::from(bytes.ok_or_else(|| not_found(digest))?);
        self.on_disk(move |folder| {
            check(digest, &bytes, "in the database")?;
            if write(folder, digest, &bytes).is_err() {
                tracing::warn!(%digest, "no copy of a package could be kept; it is fetched again when it is needed");
            }
            Ok(bytes)
        })
        .await
    }

    /// Deletes the packages, at least as old as this, that are neither uploaded now nor `needed`. That is asked when nobody
    /// can begin to need one of them; the answer is none when nobody can tell, and then nothing is deleted.
    pub async fn sweep(&self, age: Duration, needed: impl FnOnce() -> Option<HashSet<Digest>>) {
        if let Err(error) = self.try_to_sweep(age, needed).await {
            tracing::warn!(%error, "packages that nobody needs are left to the next sweep");
        }
    }

    /// It takes as long as it takes: nobody waits for it.
    async fn try_to_sweep(&self, age: Duration, needed: impl FnOnce() -> Option<HashSet<Digest>>) -> Result<()> {
        let mut old = self.on_disk(move |folder| list(folder, age).map_err(|error| refuse("listed", &error))).await?;
        if let Some(rows) = &self.shared.rows {
            old.extend(rows.old(age).await.map_err(|error| hide("listed", &error))?);
        }
        let mut deletion = self.shared.uses.delete(old);
        let Some(needed) = needed() else {
            tracing::info!("no packages are deleted while a record can't be read or the database is away");
            return Ok(());
        };
        deletion.spare(&needed);
        if let Some(rows) = &self.shared.rows {
            let deleted = rows.delete(deletion.digests(), age, &self.shared.owner).await;
            deleted.map_err(|error| hide("deleted", &error))?;
        }
        self.on_disk(move |folder| {
            delete(&deletion, folder, age);
            Ok(())
        })
        .await
    }

    /// Works with the folder on a thread that may wait for the disk; to its end, whether or not anybody waits for it.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&Path) -> Result<T> + Send + 'static) -> Result<T> {
        let turn = Arc::clone(&self.shared.turns).acquire_owned().await.map_err(|error| hide("opened", &error))?;
        let shared = Arc::clone(&self.shared);
        let working = spawn_blocking(move || {
            let _turn = turn;
            #[cfg(test)]
            shared.hang();
            work(&shared.folder)
        });
        working.await.unwrap_or_else(|error| Err(hide("used", &error)))
    }
}

/// One that was uploaded since it was looked at is young again. Blocking.
fn delete(deletion: &Deletion, folder: &Path, age: Duration) {
    for digest in deletion.digests() {
        remove_if_old(&path_in(folder, *digest), age);
    }
}

/// Makes the folder of a database in that of the packages in the data folder; after a power cut it is still there.
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    folder.ancestors().take(3).try_for_each(|folder| File::open(folder)?.sync_all())
}

/// Under a name of its own until it is whole, since the same package may be written twice at once. Blocking.
fn write(folder: &Path, digest: Digest, bytes: &[u8]) -> Result<()> {
    check(digest, bytes, "to be stored")?;
    let unfinished = folder.join(format!("{UNFINISHED}{}", xid::new()));
    let write = || write_durably(&unfinished, bytes);
    let written = match write() {
        // Somebody has deleted the folder.
        Err(error) if error.kind() == ErrorKind::NotFound => make(folder).and_then(|()| write()),
        written => written,
    };
    let renamed = written.and_then(|()| fs::rename(&unfinished, path_in(folder, digest)));
    renamed.and_then(|()| File::open(folder)?.sync_all()).map_err(|error| {
        // It may be that there is no room for it.
        let _ = fs::remove_file(&unfinished);
        refuse("written", &error)
    })
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Blocking.
fn read(folder: &Path, digest: Digest) -> Result<Bytes> {
    match files::read(&path_in(folder, digest), MAX_ARCHIVE) {
        Ok(bytes) => check(digest, &bytes, "in the store").map(|()| bytes.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(not_found(digest)),
        Err(error) => Err(refuse("read", &error)),
    }
}

/// The packages that are old enough. What a crash has left half written is deleted. Blocking.
fn list(folder: &Path, age: Duration) -> io::Result<Vec<Digest>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name().to_str().and_then(digest_named) {
            Some(digest) if is_old(entry.metadata(), age)? => found.push(digest),
            None if is_unfinished(&entry) => remove_if_old(&entry.path(), age),
            _ => {}
        }
    }
    Ok(found)
}

/// One that can't be deleted keeps no other from it. Blocking.
fn remove_if_old(path: &Path, age: Duration) {
    let removed =
        is_old(fs::metadata(path), age).and_then(|is_old| if is_old { fs::remove_file(path) } else { Ok(()) });
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "a package that nobody needs can't be deleted");
    }
}

fn is_unfinished(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
}

/// Whether there is a file as old as this.
fn is_old(found: io::Result<fs::Metadata>, age: Duration) -> io::Result<bool> {
    match found {
        Ok(found) => Ok(found.modified()?.elapsed().is_ok_and(|elapsed| elapsed >= age)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `sha256-` and 64 digits: no colon, which some file systems refuse.
fn path_in(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(digest.to_string().replace(':', "-"))
}

fn digest_named(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

/// Whether these are the bytes of the digest. Hashing the largest package takes a good part of a second.
fn check(digest: Digest, bytes: &[u8], place: &str) -> Result<()> {
    let found = digest_of(bytes);
    if found == digest {
        return Ok(());
    }
    tracing::error!(%digest, %found, place, "a package is not sound");
    let message = format!("package {digest} {place} has the digest {found}");
    Err(Error::new(Reason::Internal, message).with("package_digest", digest))
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let hangs = || Error::new(Reason::StoreUnavailable, "the store of packages does not answer");
    timeout(DISK_TIMEOUT, work).await.unwrap_or_else(|_| Err(hangs()))
}

fn not_found(digest: Digest) -> Error {
    let error = Error::new(Reason::PackageNotFound, format!("package {digest} is not in the store"));
    error.with("package_digest", digest)
}

/// What the disk refuses: callers are told the kind, which names no path.
fn refuse(what: &str, error: &io::Error) -> Error {
    tracing::error!(%error, "packages could not be {what}");
    Error::new(Reason::StoreUnavailable, format!("packages can't be {what}: {}", error.kind()))
}

fn hide(what: &str, error: &impl Display) -> Error {
    tracing::error!(%error, "packages could not be {what}");
    unavailable()
}

#[cfg(test)]
pub(crate) mod tests;
