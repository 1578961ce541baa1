//! Writing a backup, whole or not at all.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{Contents, FORMAT, MANIFEST, NOBODY, Rows, package_name, table_name};
use crate::{
    domain::{Digest, Error, Reason, package::digest_of},
    store::{self, Address, PackageStore, Snapshot, Table},
};

/// How often it is begun anew because a package was deleted meanwhile: nobody needed it any more when its turn came.
const ATTEMPTS: usize = 5;

/// Writes a backup of a database, which a plugd may use, and of its packages. The file is for its owner only; another one is
/// replaced if it may be.
///
/// # Errors
/// Something can't be read or written; there is no such file then, or the one that was there.
pub async fn write(address: &Address, packages: &Path, file: &Path, may_replace: bool) -> Result<Contents> {
    for _ in 1..ATTEMPTS {
        match Box::pin(attempt(address, packages, file, may_replace)).await {
            Err(error) if is_package_gone(&error) => {}
            done => return done,
        }
    }
    Box::pin(attempt(address, packages, file, may_replace)).await
}

fn is_package_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.reason == Reason::PackageNotFound)
}

async fn attempt(address: &Address, packages: &Path, file: &Path, may_replace: bool) -> Result<Contents> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut archive = Archive::begin(folder)?;
    let snapshot = Snapshot::of(address).await.with_context(|| format!("the database {address} can't be read"))?;
    let (standing, database_id) = (snapshot.standing.clone(), snapshot.database_id.clone());
    let needed = snapshot.packages().await?;
    let mut tables = BTreeMap::new();
    for table in Table::ALL {
        tables.insert(table, archive.rows(table, snapshot.rows(table)).await?);
    }
    snapshot.close().await?;
    let store = PackageStore::of(address, packages, &database_id, NOBODY).await?;
    let mut packages = BTreeMap::new();
    for digest in needed {
        packages.insert(digest, archive.package(digest, &store.get(digest).await?)?);
    }
    let (plugd, time) = (env!("CARGO_PKG_VERSION").to_owned(), Timestamp::now());
    let contents = Contents { format: FORMAT, plugd, time, standing, tables, packages };
    let written = archive.finish(&contents)?;
    let named = if may_replace { written.persist(file) } else { written.persist_noclobber(file) };
    named.map_err(|refused| refused.error).with_context(|| format!("can't write {}", file.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(contents)
}

/// An archive without a name yet.
struct Archive(ZipWriter<BufWriter<NamedTempFile>>);

impl Archive {
    fn begin(folder: &Path) -> Result<Self> {
        let file = tempfile::Builder::new().prefix(".plugd-backup-").tempfile_in(folder);
        let file = file.with_context(|| format!("can't write into the folder {}", folder.display()))?;
        Ok(Self(ZipWriter::new(BufWriter::new(file))))
    }

    async fn rows(&mut self, table: Table, mut rows: store::Rows<'_>) -> Result<Rows> {
        self.0.start_file(table_name(table), options(CompressionMethod::Deflated))?;
        let (mut count, mut hash) = (0, Sha256::new());
        while let Some(mut line) = rows.try_next().await? {
            line.push('\n');
            hash.update(&line);
            self.0.write_all(line.as_bytes())?;
            count += 1;
        }
        Ok(Rows { count, digest: Digest(hash.finalize().into()) })
    }

    /// It is compressed already.
    fn package(&mut self, digest: Digest, bytes: &[u8]) -> Result<u64> {
        self.0.start_file(package_name(digest), options(CompressionMethod::Stored))?;
        self.0.write_all(bytes)?;
        Ok(bytes.len() as u64)
    }

    /// The archive, whole and on the disk.
    fn finish(mut self, contents: &Contents) -> Result<NamedTempFile> {
        let manifest = serde_json::to_vec_pretty(contents)?;
        self.0.start_file(MANIFEST, options(CompressionMethod::Stored))?;
        self.0.write_all(&manifest)?;
        self.0.set_comment(digest_of(&manifest).to_string())?;
        let file = self.0.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// Also of tables that take more than 4 GiB.
fn options(method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(method).large_file(true).unix_permissions(0o600)
}
