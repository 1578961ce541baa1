//! Packages: files named by their digests, in a folder of the database whose plugins refer to them, so that another
//! database in the same data folder keeps its own.
//!
//! A package is written before a plugin refers to it. Once none does it is left to the next sweep, which deletes what is
//! older than [`GRACE`]: so nobody has to delete anything at the right moment, and what a crash leaves goes as well.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    fs::{self, DirEntry, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::error::unavailable;
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
    in_use: watch::Sender<InUse>,
    #[cfg(test)]
    hang: std::sync::Mutex<Option<tests::Hanging>>,
}

/// What is done with packages beside being read. A package is never uploaded while it is deleted.
#[derive(Default)]
struct InUse {
    /// How many uploads there are of a package.
    uploads: HashMap<Digest, usize>,
    deleted: HashSet<Digest>,
}

impl InUse {
    fn begin_upload(&mut self, digest: Digest) -> bool {
        let is_free = !self.deleted.contains(&digest);
        if is_free {
            *self.uploads.entry(digest).or_default() += 1;
        }
        is_free
    }

    fn end_upload(&mut self, digest: Digest) {
        let left = self.uploads.remove(&digest).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            self.uploads.insert(digest, left);
        }
    }

    fn begin_deletion(&mut self, digest: Digest) -> bool {
        !self.uploads.contains_key(&digest) && self.deleted.insert(digest)
    }

    fn end_deletion(&mut self, digests: &[Digest]) {
        for digest in digests {
            self.deleted.remove(digest);
        }
    }
}

/// A package that was stored for a plugin that is about to refer to it. It is not swept for as long as this is held.
pub struct Upload {
    shared: Arc<Shared>,
    digest: Digest,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.shared.in_use.send_modify(|in_use| in_use.end_upload(self.digest));
    }
}

/// Packages that are deleted unless somebody needs them. Nobody begins to upload one for as long as this is held.
struct Deletion {
    shared: Arc<Shared>,
    digests: Vec<Digest>,
}

impl Drop for Deletion {
    fn drop(&mut self) {
        self.shared.in_use.send_modify(|in_use| in_use.end_deletion(&self.digests));
    }
}

impl PackageStore {
    /// The packages of the database with this id, below this folder; it is created where there is none.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when the folder can't be made.
    pub async fn open(folder: &Path, database_id: &str) -> Result<Self> {
        let shared = Shared {
            folder: folder.join(database_id),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            in_use: watch::Sender::default(),
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
            let upload = self.begin_upload(digest).await;
            self.on_disk(move |folder| write(folder, digest, &bytes).map(|()| upload)).await
        })
        .await
    }

    /// The bytes of a package.
    ///
    /// # Errors
    /// `PACKAGE_NOT_FOUND`; `INTERNAL` when its bytes have changed since it was stored; `STORE_UNAVAILABLE`.
    pub async fn get(&self, digest: Digest) -> Result<Bytes> {
        in_time(self.on_disk(move |folder| read(folder, digest))).await
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
        let old = self.on_disk(move |folder| list(folder, age).map_err(|error| refuse("listed", &error))).await?;
        let mut deletion = self.begin_deletion(old);
        let Some(needed) = needed() else {
            tracing::info!("no packages are deleted while a record can't be read or the database is away");
            return Ok(());
        };
        deletion.spare(&needed);
        self.on_disk(move |folder| {
            deletion.carry_out(folder, age);
            Ok(())
        })
        .await
    }

    /// Waits until nobody deletes the package.
    async fn begin_upload(&self, digest: Digest) -> Upload {
        let mut changes = self.shared.in_use.subscribe();
        while !self.shared.in_use.send_if_modified(|in_use| in_use.begin_upload(digest)) {
            let _ = changes.wait_for(|in_use| !in_use.deleted.contains(&digest)).await;
        }
        Upload { shared: Arc::clone(&self.shared), digest }
    }

    fn begin_deletion(&self, mut digests: Vec<Digest>) -> Deletion {
        self.shared.in_use.send_modify(|in_use| digests.retain(|digest| in_use.begin_deletion(*digest)));
        Deletion { shared: Arc::clone(&self.shared), digests }
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

impl Deletion {
    /// Gives up the deletion of these.
    fn spare(&mut self, needed: &HashSet<Digest>) {
        let (spared, digests): (Vec<_>, _) = self.digests.iter().partition(|digest| needed.contains(digest));
        self.digests = digests;
        self.shared.in_use.send_modify(|in_use| in_use.end_deletion(&spared));
    }

    /// One that was uploaded since it was looked at is young again. Blocking.
    fn carry_out(self, folder: &Path, age: Duration) {
        for digest in &self.digests {
            remove_if_old(&path_in(folder, *digest), age);
        }
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
