//! The package of a plugin: a zip archive, refused at upload if anything about it would fail or harm later. It is opened from
//! memory, with bounds on what a hostile directory of entries may cost.

mod layout;

use std::{
    cell::Cell,
    collections::HashSet,
    fmt,
    io::{self, Cursor, Read, Seek, SeekFrom},
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use self::layout::{ESCAPES, Layout, Planned, leads_out};
pub use self::layout::{clean, reserved};
use super::{
    Digest,
    error::{Error, Reason, Result, Violation},
    events::EventCatalog,
    manifest::{MAX_BYTES, Manifest},
    text::shorten,
};

/// What is at most allowed of an archive (CONTRACT 6), sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub archive: u64,
    /// The manifest, uncompressed.
    pub manifest: u64,
    /// Files and folders together. The contract counts only files; folders must end somewhere too.
    pub entries: usize,
    pub files: usize,
    /// One file, uncompressed.
    pub file: u64,
    /// All files, uncompressed.
    pub total: u64,
}

const MIB: u64 = 1024 * 1024;

/// Most bytes of a package's archive: 50 MiB.
pub const MAX_ARCHIVE: u64 = 50 * MIB;

pub const LIMITS: Limits = Limits {
    archive: MAX_ARCHIVE,
    manifest: MAX_BYTES as u64,
    entries: 16_384,
    files: 2048,
    file: 50 * MIB,
    total: 200 * MIB,
};

/// Base name of the manifest.
const MANIFEST: &str = "manifest.json";

/// Most bytes of a symbolic link's text: what Linux takes.
const MAX_LINK: u64 = 4096;

/// A package that keeps all rules.
#[derive(Clone)]
pub struct Package {
    pub manifest: Manifest,
    pub digest: Digest,
    /// The archive, byte for byte as it was uploaded.
    pub bytes: Bytes,
    /// Its files, in the archive's order. No two have one path, and none is a folder of another.
    pub files: Vec<PackageFile>,
    /// Folders that it names, empty ones too, sorted; those that files imply may be missing.
    pub folders: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it belongs in the install directory: relative, cleaned, `/` between its parts.
    pub path: String,
    pub size: u64,
    /// Its permission bits, with at least the owner's right to read: 0o644 if the archive has none.
    pub mode: u32,
}

impl Package {
    /// Reads a package and checks all of it: this decompresses every file once, at most 200 MiB, without keeping them.
    ///
    /// # Errors
    /// `INVALID_PACKAGE` with the entry at fault in the metadata (`entry`) and as a violation (`package[<entry>]`);
    /// `INVALID_MANIFEST` if only the manifest breaks a rule. Both begin "The provided plugin file is invalid: ".
    pub fn read(bytes: Bytes, catalog: &EventCatalog) -> Result<Self> {
        Self::read_within(bytes, catalog, &LIMITS)
    }

    /// A package that has been read before and was stored under its digest, with its manifest: nothing is decompressed or
    /// hashed, and rules for manifests that came later don't matter.
    ///
    /// # Errors
    /// `INVALID_PACKAGE`: these bytes have never been a package.
    pub fn stored(bytes: Bytes, digest: Digest, manifest: Manifest) -> Result<Self> {
        let layout = Layout::plan(&open(&bytes)?, &LIMITS)?;
        Ok(Self::new(manifest, bytes, digest, layout))
    }

    /// The file that a path means, as a program of the plugin that begins in the install directory would.
    pub fn file(&self, path: &str) -> Option<&PackageFile> {
        let path = clean(path).ok()?;
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a path means a folder; the install directory is one.
    pub fn has_folder(&self, path: &str) -> bool {
        let Ok(path) = clean(path) else { return false };
        let inside = format!("{path}/");
        path.is_empty() || self.folders.contains(&path) || self.files.iter().any(|file| file.path.starts_with(&inside))
    }

    /// Hands each file and a reader of its contents to `sink`, in the archive's order.
    ///
    /// # Errors
    /// The first error of `sink`, or of reading the archive. What was handed over before stays.
    pub fn extract_each(&self, sink: &mut dyn FnMut(&PackageFile, &mut dyn Read) -> io::Result<()>) -> io::Result<()> {
        self.extract_next(&AtomicUsize::new(0), &mut |_, file, contents| sink(file, contents))
    }

    /// The same for several who share the work: each takes the file whose number is `next`, which the sink is told too,
    /// until none is left.
    ///
    /// # Errors
    /// As [`Self::extract_each`].
    pub fn extract_next(
        &self,
        next: &AtomicUsize,
        sink: &mut dyn FnMut(usize, &PackageFile, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut archive = open(&self.bytes).map_err(unreadable)?;
        let layout = Layout::plan(&archive, &LIMITS).map_err(unreadable)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(Planned { index, file, .. }) = layout.files.get(number) else { return Ok(()) };
            sink(number, file, &mut archive.by_index(*index)?)?;
        }
    }

    fn read_within(bytes: Bytes, catalog: &EventCatalog, limits: &Limits) -> Result<Self> {
        if bytes.len() as u64 > limits.archive {
            return Err(Refusal::archive(format!("it has more than {} bytes", limits.archive)).into());
        }
        let mut archive = open(&bytes)?;
        let layout = Layout::plan(&archive, limits)?;
        let manifest = read_manifest(&mut archive, &layout, limits.manifest)?;
        let manifest = Manifest::parse(&manifest, catalog).map_err(in_package)?;
        verify(&mut archive, &layout)?;
        drop(archive);
        let digest = digest_of(&bytes);
        Ok(Self::new(manifest, bytes, digest, layout))
    }

    fn new(manifest: Manifest, bytes: Bytes, digest: Digest, layout: Layout) -> Self {
        let files = layout.files.into_iter().map(|planned| planned.file).collect();
        Self { manifest, digest, bytes, files, folders: layout.folders.into_iter().collect() }
    }
}

/// Without the bytes, of which there may be millions.
impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifest, digest, files, .. } = self;
        let mut shown = f.debug_struct("Package");
        shown.field("id", &manifest.id).field("digest", digest).field("files", &files.len()).finish_non_exhaustive()
    }
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn unreadable(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The bytes of the first file named `manifest.json`, in whatever folder.
fn read_manifest(archive: &mut Archive<'_>, layout: &Layout, limit: u64) -> Result<Vec<u8>> {
    let is_manifest = |planned: &&Planned| planned.file.path.rsplit('/').next() == Some(MANIFEST);
    let Some(planned) = layout.files.iter().find(is_manifest) else {
        return Err(Refusal::archive(format!("there is no {MANIFEST} in it")).into());
    };
    if planned.file.size > limit {
        return Err(Refusal::entry(&planned.file.path, format!("a manifest has at most {limit} bytes")).into());
    }
    read(archive, planned)
}

/// Reads every file to its end: sizes and checksums are true, and no link leads out.
fn verify(archive: &mut Archive<'_>, layout: &Layout) -> Result<()> {
    layout.files.iter().try_for_each(|planned| match planned.is_link {
        true => verify_link(archive, planned),
        false => copy(archive, planned, &mut io::sink()),
    })
}

fn verify_link(archive: &mut Archive<'_>, planned: &Planned) -> Result<()> {
    let path = &planned.file.path;
    if planned.file.size > MAX_LINK {
        return Err(Refusal::entry(path, "it is a symbolic link with a text that is too long").into());
    }
    let target = read(archive, planned)?;
    if leads_out(path, &String::from_utf8_lossy(&target)) {
        return Err(Refusal::entry(path, format!("{ESCAPES}: it is a symbolic link that leads out")).into());
    }
    Ok(())
}

fn read(archive: &mut Archive<'_>, planned: &Planned) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    copy(archive, planned, &mut bytes)?;
    Ok(bytes)
}

/// Copies at most one byte more than the directory says, and says so if that is not exactly what comes.
fn copy(archive: &mut Archive<'_>, planned: &Planned, to: &mut dyn io::Write) -> Result<()> {
    let Planned { index, file, .. } = planned;
    let broken =
        |error: &dyn std::fmt::Display| Refusal::entry(&file.path, format!("its contents are broken ({error})"));
    let entry = archive.by_index(*index).map_err(|error| broken(&error))?;
    let copied = io::copy(&mut entry.take(file.size + 1), to).map_err(|error| broken(&error))?;
    if copied != file.size {
        let why = format!("its size is not what the archive's directory says ({} bytes)", file.size);
        return Err(Refusal::entry(&file.path, why).into());
    }
    Ok(())
}

type Archive<'a> = ZipArchive<Metered<'a>>;

/// Reads that opening may take. An entry of the directory takes a few, and searching 50 MiB for the directory 51,200;
/// a million tiny entries would cost hundreds of megabytes before anybody could count them.
const MAX_READS_TO_OPEN: u64 = 250_000;

/// Reads the archive's directory.
fn open(bytes: &[u8]) -> Result<Archive<'_>> {
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
struct Metered<'a> {
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
struct Refusal {
    entry: Option<String>,
    why: String,
}

impl Refusal {
    fn archive(why: impl Into<String>) -> Self {
        Self { entry: None, why: why.into() }
    }

    fn entry(name: &str, why: impl Into<String>) -> Self {
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
fn in_package(error: Error) -> Error {
    Error { message: format!("{PREFIX}{}", error.message), ..error }
}

#[cfg(test)]
mod tests;
