//! Files that commands write.

use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use super::failure::{Exit, Failure};

/// Writes a file; one that is there is only replaced by force.
///
/// # Errors
/// It is there, or can't be written.
pub(super) fn write(path: &Path, bytes: &[u8], is_forced: bool) -> Result<(), Failure> {
    let written = if is_forced { fs::write(path, bytes) } else { write_new(path, bytes) };
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there(path),
        _ => Failure::from(error).about(format_args!("can't write {}", path.display())),
    })
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

/// What is to be written is there already.
pub(super) fn there(path: &Path) -> Failure {
    Failure::new(format!("{} is there already", path.display()))
        .hint("name another one, or replace it with --force")
        .exit(Exit::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_replaced_by_force_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"one", false).unwrap();
        assert_eq!(write(&path, b"two", false).unwrap_err().exit, Exit::Conflict);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
