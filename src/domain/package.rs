//! The package of a plugin: a zip archive, refused at upload if anything about it would fail or harm later.

mod archive;
mod layout;

use std::{
    fmt,
    io::{self, Read},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use self::layout::{clean, reserved};
use self::{
    archive::{Archive, Refusal},
    layout::{ESCAPES, Layout, Planned, leads_out},
};
use super::{
    Digest,
    error::{Error, Result},
    events::EventCatalog,
    manifest::{MAX_BYTES, Manifest},
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

    /// A package that has been read before and was stored with its manifest: nothing is decompressed, and rules for
    /// manifests that came later don't matter.
    ///
    /// # Errors
    /// `INVALID_PACKAGE`: these bytes have never been a package.
    pub fn stored(bytes: Bytes, manifest: Manifest) -> Result<Self> {
        let layout = Layout::plan(&archive::open(&bytes)?, &LIMITS)?;
        Ok(Self::new(manifest, bytes, layout))
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
        let mut archive = archive::open(&self.bytes).map_err(unreadable)?;
        let layout = Layout::plan(&archive, &LIMITS).map_err(unreadable)?;
        for Planned { index, file, .. } in &layout.files {
            sink(file, &mut archive.by_index(*index)?)?;
        }
        Ok(())
    }

    fn read_within(bytes: Bytes, catalog: &EventCatalog, limits: &Limits) -> Result<Self> {
        if bytes.len() as u64 > limits.archive {
            return Err(Refusal::archive(format!("it has more than {} bytes", limits.archive)).into());
        }
        let mut archive = archive::open(&bytes)?;
        let layout = Layout::plan(&archive, limits)?;
        let manifest = read_manifest(&mut archive, &layout, limits.manifest)?;
        let manifest = Manifest::parse(&manifest, catalog).map_err(archive::in_package)?;
        verify(&mut archive, &layout)?;
        drop(archive);
        Ok(Self::new(manifest, bytes, layout))
    }

    fn new(manifest: Manifest, bytes: Bytes, layout: Layout) -> Self {
        let files = layout.files.into_iter().map(|planned| planned.file).collect();
        Self { manifest, digest: digest_of(&bytes), bytes, files, folders: layout.folders.into_iter().collect() }
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

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod tests;
