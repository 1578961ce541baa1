//! Reading a backup. All of it is checked before any of it is used.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use super::{Contents, FORMAT, MANIFEST, Rows, package_name, table_name};
use crate::{
    domain::{
        Digest,
        package::{MAX_ARCHIVE, digest_of},
    },
    store::Table,
};

/// Most bytes of a row: many times what a manifest or a configuration may have.
const MAX_ROW: u64 = 64 << 20;

/// Most bytes of what says what is in a backup: a hundred for each package.
const MAX_MANIFEST: u64 = 64 << 20;

/// A backup that is whole.
pub struct Backup {
    archive: ZipArchive<BufReader<File>>,
    /// What is in it.
    pub contents: Contents,
}

impl Backup {
    /// Opens a backup and reads all of it once.
    ///
    /// # Errors
    /// It can't be read, is none, is not whole, was altered, or is of another version than this plugd can use.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::read(file).with_context(|| format!("{} can't be used as a backup", path.display()))
    }

    fn read(file: File) -> Result<Self> {
        let mut archive =
            ZipArchive::new(BufReader::new(file)).context("it was cut short, or is no backup of plugd's")?;
        let contents = contents(&mut archive)?;
        contents.standing.check()?;
        let mut backup = Self { archive, contents };
        backup.check().context("it is damaged")?;
        Ok(backup)
    }

    fn check(&mut self) -> Result<()> {
        let Contents { tables, packages, .. } = self.contents.clone();
        ensure!(tables.keys().copied().eq(BTreeSet::from(Table::ALL)), "a table is missing");
        for (table, rows) in tables {
            let found = self.check_rows(table)?;
            ensure!(found == rows, "the rows of {} are not those that were written", table.name());
        }
        for (digest, bytes) in packages {
            let package = self.package(digest)?;
            ensure!(package.len() as u64 == bytes && digest_of(&package) == digest, "package {digest} is another one");
        }
        Ok(())
    }

    fn check_rows(&mut self, table: Table) -> Result<Rows> {
        let (mut count, mut hash) = (0, Sha256::new());
        for line in self.lines(table)? {
            let line = line?;
            table.check(&line)?;
            hash.update(&line);
            hash.update("\n");
            count += 1;
        }
        Ok(Rows { count, digest: Digest(hash.finalize().into()) })
    }

    /// The rows of a table.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub fn lines(&mut self, table: Table) -> Result<impl Iterator<Item = io::Result<String>>> {
        let mut rows = BufReader::new(self.archive.by_name(&table_name(table))?);
        Ok(std::iter::from_fn(move || row(&mut rows).transpose()))
    }

    /// The bytes of a package.
    ///
    /// # Errors
    /// The file can't be read any more.
    pub fn package(&mut self, digest: Digest) -> Result<Bytes> {
        Ok(whole(&mut self.archive, &package_name(digest), MAX_ARCHIVE)?.into())
    }
}

/// The next row, if there is one; what is longer than any is refused before it is in memory.
fn row(rows: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = rows.take(MAX_ROW).read_line(&mut text)?;
    if text.ends_with('\n') {
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
    } else if read as u64 == MAX_ROW {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a row has more than {MAX_ROW} bytes")));
    }
    Ok((read > 0).then_some(text))
}

/// What a backup says of itself.
fn contents(archive: &mut ZipArchive<BufReader<File>>) -> Result<Contents> {
    let manifest = whole(archive, MANIFEST, MAX_MANIFEST).context("it is no backup of plugd's")?;
    // Of a backup that was cut short, the archive that is found may be a package in it.
    ensure!(
        archive.comment() == digest_of(&manifest).to_string().as_bytes(),
        "it was cut short or altered: its {MANIFEST} is another one"
    );
    let format = serde_json::from_slice::<serde_json::Value>(&manifest)?["format"].as_u64();
    ensure!(format == Some(FORMAT.into()), "a newer plugd wrote it: restore it with that version");
    Ok(serde_json::from_slice(&manifest)?)
}

fn whole(archive: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    archive.by_name(name)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        bail!("{name} is too large");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_does_not_end_is_refused_before_it_is_in_memory() {
        let mut rows = &b"one\n\ntwo\r\nthree"[..];
        let read: Vec<_> = std::iter::from_fn(|| row(&mut rows).unwrap()).collect();
        assert_eq!(read, ["one", "", "two", "three"]);
        let mut endless = BufReader::new(io::repeat(b' '));
        assert!(row(&mut endless).unwrap_err().to_string().contains("more than"));
    }
}
