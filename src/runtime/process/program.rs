//! Which file a command means, and what is said when it can't be run.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use crate::{
    domain::{Failure, Stage},
    runtime::words,
};

/// Finds the program of a command: a bare name on the host's `PATH`, one with `/` from the install directory.
pub(super) fn find(command: &str, install: &Path, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    if command.trim().is_empty() {
        return Err(permanent("the manifest has no command"));
    }
    if !command.contains('/') {
        let dirs = path.map(std::env::split_paths).into_iter().flatten().filter(|dir| dir.is_absolute());
        let found = dirs.map(|dir| dir.join(command)).find(|file| is_executable(file) == Some(true));
        return found.ok_or_else(|| permanent(format!("command {command:?} not found on the host's PATH")));
    }
    let file = install.join(command);
    match is_executable(&file) {
        Some(true) => Ok(file),
        Some(false) => Err(not_executable(command)),
        None => Err(permanent(format!("command {command:?} not found in the package"))),
    }
}

/// Puts into words why a program that is there could not be run.
pub(super) fn refused(command: &str, error: &io::Error) -> Failure {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => {
            permanent(format!("command {command:?} cannot run: the interpreter that it names is not on this host"))
        }
        Some(Errno::ACCESS) => not_executable(command),
        Some(Errno::NOEXEC) => permanent(format!("command {command:?} is not a program for this host")),
        Some(Errno::TOOBIG) => permanent(format!("command {command:?} has too many arguments")),
        _ => Failure::new(Stage::Start, format!("cannot start {command:?}: {}", words(error))),
    }
}

/// `None` when there is no such file.
fn is_executable(file: &Path) -> Option<bool> {
    let metadata = fs::metadata(file).ok()?;
    Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn not_executable(command: &str) -> Failure {
    permanent(format!("command {command:?} is not executable: set its permission bits in the archive"))
}

fn permanent(message: impl Into<String>) -> Failure {
    Failure::new(Stage::Start, message).permanent()
}
