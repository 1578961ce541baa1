//! Which file a command means, and what is said when it can't be run.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs},
    io::Errno,
};

use super::Sandbox;
use crate::{
    domain::{
        Failure, Stage,
        policy::User,
        program::{HEAD_BYTES, Problem, diagnose, interpreter},
    },
    files,
    runtime::words,
};

/// A program and who is to run it.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// As the manifest names it.
    command: String,
    file: PathBuf,
    /// The folder in which it is to run.
    folder: PathBuf,
    /// Nobody = plugd's own user.
    user: Option<User>,
    sandbox: Sandbox,
}

impl Program {
    /// Finds the program of a command: a bare name on the host's `PATH`, one with `/` from the install directory. This user
    /// is to run it in this sandbox.
    pub(super) fn find(
        command: &str,
        install: &Path,
        path: Option<&OsStr>,
        (user, sandbox): (Option<User>, &Sandbox),
    ) -> Result<Self, Failure> {
        let file = if command.trim().is_empty() {
            return Err(permanent("the manifest has no command"));
        } else if command.contains('/') {
            install.join(command)
        } else {
            let found = path.and_then(|path| files::find_program(command, path));
            found.ok_or_else(|| permanent(format!("command {command:?} not found on the host's PATH")))?
        };
        let (folder, sandbox) = (install.to_owned(), sandbox.clone());
        let program = Self { command: command.to_owned(), file, folder, user, sandbox };
        program.check().map(|()| program)
    }

    /// Its file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// As the manifest names it.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// What can be told before the kernel is asked.
    fn check(&self) -> Result<(), Failure> {
        let found = match fs::metadata(&self.file) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(self.refused(&error)),
            Err(_) => return Err(permanent(format!("command {:?} not found in the package", self.command))),
        };
        if let Some(kind) = other_kind(&found) {
            return Err(permanent(format!("command {:?} is {kind}, not a program", self.command)));
        }
        match head(&self.file).and_then(|(head, mode)| diagnose(&head, mode)) {
            // The kernel takes this one, to run an `env` that finds nothing.
            Some(problem @ Problem::CarriageReturn(_)) => Err(self.cannot_run(&problem)),
            _ if found.mode() & 0o111 == 0 => Err(permanent(format!(
                "command {:?} is not executable: set its permission bits in the archive",
                self.command
            ))),
            _ => Ok(()),
        }
    }

    /// Puts into words why it could not be run, with the kernel's own at the end. Blocking.
    pub(super) fn refused(&self, error: &io::Error) -> Failure {
        let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS) => {
                // Its own folder may be closed to it.
                let barrier = barrier(&self.folder.join("x"), self.user);
                barrier.or_else(|| in_the_way_of(&self.file, self.user)).or_else(|| self.shut_out(|_| true))
            }
            Some(Errno::NOENT) => {
                let is_hidden = |path: &Path| self.sandbox.hides(path) && path.exists();
                self.shut_out(is_hidden).or_else(|| missing_runner(&self.file))
            }
            Some(Errno::NOEXEC) => bad_format(&self.file),
            Some(Errno::TOOBIG) => Some("it has too many arguments".to_owned()),
            Some(Errno::TXTBSY) => Some("somebody still has it open for writing".to_owned()),
            _ => return Failure::new(Stage::Start, format!("cannot start {:?}: {}", self.command, words(error))),
        };
        match why {
            Some(why) => self.cannot_run(format!("{why} ({})", words(error))),
            None => self.cannot_run(words(error)),
        }
    }

    /// What it needs that its sandbox keeps from it.
    fn shut_out(&self, is_kept: impl Fn(&Path) -> bool) -> Option<String> {
        let interpreter = head(&self.file).and_then(|(head, _)| interpreter(&head).map(Path::to_owned));
        let own = Some(self.file.clone()).filter(|file| !file.starts_with(&self.folder));
        // What a link leads to comes first: to allow the link alone would not do.
        let with_target = |path: PathBuf| fs::canonicalize(&path).into_iter().chain([path]);
        let mut needed = own.into_iter().chain(interpreter).filter(|_| !self.sandbox.is_off()).flat_map(with_target);
        let kept = needed.find(|path| is_kept(path))?;
        Some(format!(
            "plugins are shut in and can't use {}: allow them its folder with --sandbox-read, or this one with `plugd policy set`",
            kept.display()
        ))
    }

    fn cannot_run(&self, why: impl std::fmt::Display) -> Failure {
        permanent(format!("command {:?} cannot run: {why}", self.command))
    }
}

/// What keeps this user from a file that should be a program.
fn in_the_way_of(file: &Path, user: Option<User>) -> Option<String> {
    if let Some(barrier) = barrier(file, user) {
        return Some(barrier);
    }
    let found = fs::metadata(file).ok()?;
    if let Some(kind) = other_kind(&found) {
        return Some(format!("{} is {kind}, not a program", file.display()));
    }
    if is_noexec(file) {
        let folder = file.parent().unwrap_or(file).display();
        return Some(format!(
            "{folder} is on a file system mounted with noexec: nothing on it can be run as a program"
        ));
    }
    if !may_execute(file, &found, user) {
        let (mode, owner) = (found.mode() & 0o7777, found.uid());
        let file = file.display();
        return Some(format!("{} may not execute {file}, whose mode is {mode:04o} and owner {owner}", who(user)));
    }
    let (head, _) = head(file)?;
    let runner = interpreter(&head)?;
    let why = in_the_way_of_runner(runner, user)?;
    Some(format!("{} is what it names to run it, and {why}", runner.display()))
}

/// As [`in_the_way_of`], without looking for yet another runner: a script may name itself.
fn in_the_way_of_runner(file: &Path, user: Option<User>) -> Option<String> {
    let found = fs::metadata(file).ok();
    let kind = found.as_ref().and_then(other_kind).map(|kind| format!("that is {kind}"));
    let noexec = || is_noexec(file).then(|| "that is on a file system mounted with noexec".to_owned());
    let refused =
        |found: Metadata| (!may_execute(file, &found, user)).then(|| format!("{} may not execute that", who(user)));
    barrier(file, user).or(kind).or_else(noexec).or_else(|| refused(found?))
}

/// A folder above this file that keeps the user out.
fn barrier(file: &Path, user: Option<User>) -> Option<String> {
    let mut above: Vec<&Path> = file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    above.reverse();
    let is_closed = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| !may_execute(folder, &found, user));
    let folder = above.into_iter().find(is_closed)?.display();
    Some(format!("{} may not enter the folder {folder}: give it the permission x there", who(user)))
}

/// Whether the user may execute this file, or enter this folder.
fn may_execute(file: &Path, found: &Metadata, user: Option<User>) -> bool {
    let Some(user) = user else { return accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_ok() };
    let bits = match () {
        () if user.uid == 0 => 0o111,
        () if user.uid == found.uid() => 0o100,
        () if user.gid == found.gid() => 0o010,
        () => 0o001,
    };
    found.mode() & bits != 0
}

fn who(user: Option<User>) -> String {
    format!("user {}", user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid))
}

fn is_noexec(file: &Path) -> bool {
    statvfs(file).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// What the program names to run it and the host lacks; else the program itself has vanished.
fn missing_runner(file: &Path) -> Option<String> {
    let Some((head, mode)) = head(file) else { return Some("it is no longer there".to_owned()) };
    if let Some(problem @ Problem::CarriageReturn(_)) = diagnose(&head, mode) {
        return Some(problem.to_string());
    }
    Some(match interpreter(&head) {
        Some(path) => format!("the interpreter {path:?} that its first line names is not on this host"),
        None => "the dynamic loader that it was built for is not on this host: build it for this host's C library, or \
                 statically"
            .to_owned(),
    })
}

/// What is wrong with the program, or else with what it names to run it.
fn bad_format(file: &Path) -> Option<String> {
    let (head, mode) = head(file)?;
    if let Some(problem) = diagnose(&head, mode) {
        return Some(problem.to_string());
    }
    let runner = interpreter(&head)?;
    let (head, mode) = self::head(runner)?;
    diagnose(&head, mode).map(|problem| format!("{} is what it names to run it, and {problem}", runner.display()))
}

fn head(file: &Path) -> Option<(Vec<u8>, u32)> {
    files::head(file, HEAD_BYTES).ok()
}

/// What it is, if it is no file.
fn other_kind(found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

fn permanent(message: impl Into<String>) -> Failure {
    Failure::new(Stage::Start, message).permanent()
}
