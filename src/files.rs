//! Reading files that somebody else may have written or replaced: plain ones only, without waiting, up to a limit; and
//! writing files whole or not at all.
//!
//! What an operator names is followed through links; what is in the reach of a plugin is not.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, fstat, fsync, openat, renameat, renameat_with, unlinkat},
    io::Errno,
    path::Arg,
    process::geteuid,
};

use crate::domain::text;

/// Most bytes of a text that people write: a manifest, settings, a catalogue, certificates.
pub const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// Without NONBLOCK the opening of a named pipe waits for its writer.
const PLAIN: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Paths that are read although no file is there: what a shell puts in place of one, and what is always empty.
const STREAMS: [&str; 4] = ["/dev/fd/", "/proc/self/fd/", "/dev/stdin", "/dev/null"];

/// Reads a file that an operator named.
///
/// # Errors
/// It is no file (a folder, a named pipe, a device), has more than `limit` bytes, or can't be read; in words that say
/// what to do. The caller names the file.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if path.to_str().is_some_and(|path| STREAMS.iter().any(|stream| path.starts_with(stream))) {
        return read_up_to(File::open(path)?, limit);
    }
    read_up_to(open(CWD, path, OFlags::empty()).map_err(explain)?, limit)
}

/// Reads a text file that an operator named; a byte order mark is no part of it.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read(path, limit)?;
    text::decode(&bytes).map(str::to_owned).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Reads a file of a folder in the reach of a plugin; a link is not followed.
pub fn read_at(folder: impl AsFd, name: impl Arg, limit: u64) -> io::Result<Vec<u8>> {
    read_up_to(open_at(folder, name)?, limit)
}

/// Opens a file of a folder in the reach of a plugin for reading; a link is not followed.
///
/// # Errors
/// `InvalidInput` when it is no file; others when it can't be opened.
pub fn open_at(folder: impl AsFd, name: impl Arg) -> io::Result<File> {
    open(folder, name, OFlags::NOFOLLOW)
}

/// Opens a file of plugd's own, for nobody else, and makes it if there is none. What is in it stays.
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The first bytes of a file, at most so many, and its mode; links are followed, as the kernel does to run it.
pub fn head(path: &Path, bytes: usize) -> io::Result<(Vec<u8>, u32)> {
    let file = open(CWD, path, OFlags::empty())?;
    let mode = fstat(&file)?.st_mode;
    let mut head = Vec::new();
    file.take(bytes as u64).read_to_end(&mut head)?;
    Ok((head, mode))
}

/// The program that a bare name means on a search path, as `PATH` has one. Folders that depend on where one stands don't count.
pub fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    let is_program = |file: &PathBuf| {
        std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(is_program)
}

/// How a file is put in place of another.
#[derive(Debug, Clone, Copy)]
pub struct Replace {
    /// Its permission bits, less the umask.
    pub mode: u32,
    /// It is on the disk when this returns, and survives a power cut.
    pub is_durable: bool,
}

impl Replace {
    /// Writes the file at this path, whole or not at all.
    pub fn file(self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        self.file_at(folder, name, bytes)
    }

    /// Writes the file of this name in a folder, which may be in the reach of a plugin.
    pub fn file_at(self, folder: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!(".{name}.new");
        let mut file = create_at(&folder, &new, self.mode)?;
        file.write_all(bytes)?;
        if self.is_durable {
            file.sync_all()?;
            renameat(&folder, &*new, &folder, name)?;
            return Ok(fsync(&folder)?);
        }
        put(&folder, &new, name)
    }
}

/// Gives a file the name of another, which goes. Ext4 would write the file to the disk at once, which nobody asked for: but
/// not if the two exchange their names first.
fn put(folder: impl AsFd, new: &str, name: &str) -> io::Result<()> {
    match renameat_with(&folder, new, &folder, name, RenameFlags::EXCHANGE) {
        Ok(()) => remove_at(&folder, new),
        // There is no other yet, or the file system can't.
        Err(_) => Ok(renameat(&folder, new, &folder, name)?),
    }
}

/// Makes a file of this name for writing, in place of whatever has the name now.
pub fn create_at(folder: impl AsFd, name: &str, mode: u32) -> io::Result<File> {
    remove_at(&folder, name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_raw_mode(mode))?.into())
}

/// Removes a file. It is no error if there is none.
pub fn remove_at(folder: impl AsFd, name: impl Arg) -> io::Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// None where nothing is there.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn open(folder: impl AsFd, name: impl Arg, flags: OFlags) -> io::Result<File> {
    let file = match openat(folder, name, PLAIN | flags, Mode::empty()) {
        // A link that is not followed, a socket.
        Err(Errno::LOOP) => return Err(not_a_file("a link")),
        Err(Errno::NXIO) => return Err(not_a_file("a socket")),
        opened => opened?,
    };
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err(not_a_file("a folder")),
        FileType::Fifo => Err(not_a_file("a named pipe")),
        _ => Err(not_a_file("a device")),
    }
}

fn not_a_file(kind: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("it is {kind}, not a file"))
}

fn read_up_to(from: File, limit: u64) -> io::Result<Vec<u8>> {
    // What it says of itself may be wrong: a stream has no size, and a file can grow.
    let size = from.metadata()?.len().min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_or(0, |size| size + 1));
    from.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than {limit} bytes, which is more than plugd takes");
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Says who may not read it: a file is often somebody else's.
fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            let user = geteuid().as_raw();
            let message = format!("{error}: user {user}, who runs this, may not read it or enter a folder above it");
            io::Error::new(ErrorKind::PermissionDenied, message)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
