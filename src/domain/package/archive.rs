//! Opens a zip archive from memory, with bounds on what a hostile directory of entries may cost, and says why one is
//! refused.

use std::{
    cell::Cell,
    collections::HashSet,
    io::{self, Cursor, Read, Seek, SeekFrom},
    rc::Rc,
};

use zip::ZipArchive;

use crate::domain::{
    error::{self, Error, Reason, Violation},
    text::shorten,
};

pub(super) type Archive<'a> = ZipArchive<Metered<'a>>;

/// Reads that opening may take. An entry of the directory takes a few, and searching 50 MiB for the directory 51,200;
/// a million tiny entries would cost hundreds of megabytes before anybody could count them.
const MAX_READS_TO_OPEN: u64 = 250_000;

/// Reads the archive's directory.
pub(super) fn open(bytes: &[u8]) -> error::Result<Archive<'_>> {
    let left = Rc::new(Cell::new(MAX_READS_TO_OPEN));
    let reader = Metered { inner: Cursor::new(bytes), left: Rc::clone(&left) };
    let opened = ZipArchive::new(reader);
    if left.get() == 0 {
        return Err(Refusal::archive("its directory of entries is too large").into());
    }
    let archive = opened.map_err(|error| Refusal::archive(format!("it is not a readable zip archive ({error})")))?;
    left.set(u64::MAX);
    if archive.has_duplicate_names() {
        check_names(bytes, &archive)?;
    }
    Ok(archive)
}

/// Bytes in memory that can be read only so many times.
#[derive(Debug)]
pub(super) struct Metered<'a> {
    inner: Cursor<&'a [u8]>,
    left: Rc<Cell<u64>>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.left.get() {
            0 => return Err(io::Error::other("too many reads")),
            left => self.left.set(left - 1),
        }
        self.inner.read(buffer)
    }
}

impl Seek for Metered<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Of two entries with one name the archive has silently dropped the first, so they are looked for in its bytes.
/// A folder may come twice: nothing is lost with it.
fn check_names(bytes: &[u8], archive: &Archive<'_>) -> Result<(), Refusal> {
    let start = usize::try_from(archive.central_directory_start()).unwrap_or(usize::MAX);
    let mut seen = HashSet::new();
    for name in (Names { bytes, at: start }) {
        if !seen.insert(name) && !name.ends_with(b"/") {
            return Err(Refusal::entry(&String::from_utf8_lossy(name), "the archive has two entries of this name"));
        }
    }
    // An entry's extra fields may give it another name than its header has; then only the number tells.
    match archive.len() < seen.len() {
        true => Err(Refusal::archive("it has two entries of one name")),
        false => Ok(()),
    }
}

/// The raw names in a directory of entries.
struct Names<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        /// Bytes of an entry's fixed part.
        const FIXED: usize = 46;
        let entry = self.bytes.get(self.at..).filter(|entry| entry.starts_with(b"PK\x01\x02"))?;
        let length = |at: usize| Some(usize::from(u16::from_le_bytes([*entry.get(at)?, *entry.get(at + 1)?])));
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        self.at += FIXED + name + extra + comment;
        entry.get(FIXED..FIXED + name)
    }
}

/// How every refusal of a package begins (CONTRACT 3.2).
const PREFIX: &str = "The provided plugin file is invalid: ";

/// Characters of an entry's name that are repeated.
const MAX_SHOWN: usize = 200;

#[derive(Debug)]
pub(super) struct Refusal {
    entry: Option<String>,
    why: String,
}

impl Refusal {
    pub(super) fn archive(why: impl Into<String>) -> Self {
        Self { entry: None, why: why.into() }
    }

    pub(super) fn entry(name: &str, why: impl Into<String>) -> Self {
        Self { entry: Some(shorten(name, MAX_SHOWN)), why: why.into() }
    }
}

impl From<Refusal> for Error {
    fn from(Refusal { entry, why }: Refusal) -> Self {
        let (field, place) = match &entry {
            Some(name) => (format!("package[{name}]"), format!("entry {name:?}: ")),
            None => ("package".to_owned(), String::new()),
        };
        let error = Self::new(Reason::InvalidPackage, format!("{PREFIX}{place}{why}"));
        let error = Self { violations: vec![Violation { field, description: why }], ..error };
        entry.into_iter().fold(error, |error, name| error.with("entry", name))
    }
}

/// A refusal of the manifest, in the words of a refusal of its package.
pub(super) fn in_package(error: Error) -> Error {
    Error { message: format!("{PREFIX}{}", error.message), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_read_any_more_is_not_read() {
        let left = Rc::new(Cell::new(2));
        let mut reader = Metered { inner: Cursor::new(b"abc"), left: Rc::clone(&left) };
        let mut buffer = [0; 1];
        assert_eq!((reader.read(&mut buffer).unwrap(), reader.read(&mut buffer).unwrap()), (1, 1));
        assert!(reader.read(&mut buffer).is_err());
        left.set(1);
        assert_eq!(reader.read(&mut buffer).unwrap(), 1);
    }
}
