//! Files that commands read and write.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use super::failure::{Exit, Failure};
use crate::files;

/// The text of a file of the user's.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    files::read_text(path, files::MAX_TEXT).map_err(|error| unreadable(path, error))
}

/// A file or folder can't be read.
pub(super) fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::from(error).about(format_args!("can't read {}", path.display()))
}

/// Writes a file; one that is there is only replaced by force.
pub(super) fn write(path: &Path, bytes: &[u8], is_forced: bool) -> Result<(), Failure> {
    let new = || OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes);
    let written = if is_forced { fs::write(path, bytes) } else { new() };
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => Failure::from(error).about(format_args!("can't write {}", path.display())),
    })
}

/// What is to be written is there already.
pub(super) fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} is there already", path.display()))
        .hint("name another one, or replace it with --force")
        .exit(Exit::Conflict)
}
