//! Which databases need the packages of a folder.
//!
//! A package that one database does not know may be the only copy of another's: its address was forgotten at one start,
//! or changed. So each leaves its epoch in the folder before its first package, and where there is more than one, no
//! package is ever deleted.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::files;

/// The file in the folder of packages: an epoch in each line.
const OWNERS: &str = "owners";
/// Most bytes of it.
const MAX_OWNERS: u64 = 1 << 16;
/// Stands for a database that has left no name.
const UNKNOWN: &str = "unknown";

/// The databases of one folder of packages, as one of them sees it. All of it is blocking.
pub(super) struct Owners {
    folder: PathBuf,
    epoch: String,
    /// Does another database lie beside the folder?
    has_rival: bool,
}

impl Owners {
    pub(super) fn of(folder: &Path, epoch: &str, has_rival: bool) -> Self {
        Self { folder: folder.to_owned(), epoch: epoch.to_owned(), has_rival }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(OWNERS)
    }

    /// Leaves the name of this database, if it is not there.
    ///
    /// # Errors
    /// The file can't be read or written.
    pub(super) fn join(&self) -> io::Result<()> {
        let known = self.known()?;
        if known.contains(&self.epoch) {
            return Ok(());
        }
        let is_anothers = known.is_empty() && self.has_rival && self.has_files()?;
        let lines = is_anothers.then_some(UNKNOWN).into_iter().chain([self.epoch.as_str()]);
        let lines: String = lines.flat_map(|line| [line, "\n"]).collect();
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path())?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Is it certain that no other database needs these packages?
    pub(super) fn is_alone(&self) -> bool {
        self.known().is_ok_and(|known| known == [self.epoch.as_str()])
    }

    /// Does another database need these packages, as far as is known?
    pub(super) fn has_others(&self) -> bool {
        self.known().is_ok_and(|known| known.iter().any(|epoch| *epoch != self.epoch))
    }

    fn known(&self) -> io::Result<Vec<String>> {
        match files::read_text(&self.path(), MAX_OWNERS) {
            Ok(text) => Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn has_files(&self) -> io::Result<bool> {
        Ok(fs::read_dir(&self.folder)?.next().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_owners(folder: &Path, epoch: &str, has_rival: bool) -> Owners {
        let owners = Owners::of(folder, epoch, has_rival);
        owners.join().unwrap();
        owners
    }

    #[test]
    fn a_database_is_alone_until_another_comes() {
        let folder = tempfile::tempdir().unwrap();
        let first = Owners::of(folder.path(), "first", true);
        assert!(!first.is_alone(), "it has not said so");
        first.join().unwrap();
        first.join().unwrap();
        assert!(first.is_alone() && !first.has_others());
        let second = mk_owners(folder.path(), "second", false);
        for owners in [first, second] {
            owners.join().unwrap();
            assert!(!owners.is_alone() && owners.has_others());
        }
    }

    #[test]
    fn packages_that_nobody_has_claimed_may_be_the_rivals() {
        for (has_files, has_rival, is_alone) in
            [(true, true, false), (true, false, true), (false, true, true), (false, false, true)]
        {
            let folder = tempfile::tempdir().unwrap();
            if has_files {
                fs::write(folder.path().join("sha256-1"), "").unwrap();
            }
            assert_eq!(mk_owners(folder.path(), "me", has_rival).is_alone(), is_alone, "{has_files} {has_rival}");
        }
    }

    #[test]
    fn a_file_that_can_not_be_read_makes_nobody_alone() {
        let folder = tempfile::tempdir().unwrap();
        let owners = mk_owners(folder.path(), "me", false);
        fs::write(owners.path(), vec![b'x'; 1 << 17]).unwrap();
        assert!(!owners.is_alone() && owners.join().is_err());
    }
}
