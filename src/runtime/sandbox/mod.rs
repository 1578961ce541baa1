//! What the processes of a plugin can reach. Put on by the process that becomes the plugin, just before it runs its program;
//! nothing that it starts can take it off.
//!
//! - `mounts`: a view of the file system in which plugd's folders hold nothing but the plugin's own folder, and `/tmp` is its
//!   own. It needs namespaces, which the init of the run is made in.
//! - `files`: what may be read and written (Landlock), and that no signal and no abstract socket leaves the run.
//! - `calls`: system calls that no plugin needs and attacks do (seccomp); and no capabilities, as which user ever.

mod calls;
mod files;
mod mounts;

use std::{ffi::OsString, fs, io, os::fd::OwnedFd, path::Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use serde::{Deserialize, Serialize};

use crate::domain::{Confinement, SandboxLevel, policy::ProcessPolicy};

pub(in crate::runtime) use calls::bound_capabilities;
pub use files::landlock_version;
pub(in crate::runtime) use mounts::{enter, own_proc};

/// The sandbox of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// How much it shuts in.
    pub level: SandboxLevel,
    /// plugd's folders, of which the plugin sees its own alone.
    pub hidden: Vec<OsString>,
    /// What it may read besides, as the operator says.
    pub read: Vec<OsString>,
    /// What it may read and write besides.
    pub write: Vec<OsString>,
    /// TCP ports that it may connect to where it is shut in strictly: plugd's, which it dials, and others that the operator allows.
    pub ports: Vec<u16>,
}

impl Sandbox {
    /// The same for one plugin, of which the operator decided more.
    ///
    /// # Errors
    /// As [`Sandbox::allowed`].
    pub(in crate::runtime) fn for_plugin(&self, policy: &ProcessPolicy) -> io::Result<Self> {
        let mut sandbox = Self { level: self.level_for(policy), ..self.clone() };
        for path in &policy.read {
            sandbox.read.push(self.allowed(Path::new(path))?);
        }
        for path in &policy.write {
            sandbox.write.push(self.allowed(Path::new(path))?);
        }
        sandbox.ports.extend(&policy.tcp_ports);
        Ok(sandbox)
    }

    /// A path that the operator lets plugins use. A link on it is refused: whoever may write beside it could lead it elsewhere.
    ///
    /// # Errors
    /// It can't be found, is a link or leads over one, or what must be hidden is in it.
    pub fn allowed(&self, path: &Path) -> io::Result<OsString> {
        let named = |words: String| io::Error::other(format!("plugins may not use {}: {words}", path.display()));
        let found = fs::canonicalize(path).map_err(|error| named(super::words(&error)))?;
        if std::path::absolute(path)? != found {
            return Err(named(format!("it leads over a link to {0}: if that is meant, name {0}", found.display())));
        }
        match self.hidden.iter().find(|hidden| Path::new(hidden).starts_with(&found)) {
            Some(hidden) => Err(named(format!("plugd's own folder {} is in it", Path::new(hidden).display()))),
            None => Ok(found.into()),
        }
    }

    /// Whether plugins are not shut in at all.
    pub(in crate::runtime) fn is_off(&self) -> bool {
        self.level == SandboxLevel::Off
    }

    /// Whether a plugin with this policy is not shut in at all.
    pub(in crate::runtime) fn is_off_for(&self, policy: &ProcessPolicy) -> bool {
        self.level_for(policy) == SandboxLevel::Off
    }

    fn level_for(&self, policy: &ProcessPolicy) -> SandboxLevel {
        policy.sandbox.unwrap_or(self.level)
    }

    /// What holds a run with it, whose init has a view of its own or not.
    pub(in crate::runtime) fn confinement(&self, has_own_view: bool) -> Confinement {
        match (self.level, has_own_view) {
            (SandboxLevel::Off, _) => Confinement::Off,
            (SandboxLevel::Protect, false) => Confinement::ProtectFilesOnly,
            (SandboxLevel::Protect, true) => Confinement::Protect,
            (SandboxLevel::Strict, false) => Confinement::StrictFilesOnly,
            (SandboxLevel::Strict, true) => Confinement::Strict,
        }
    }

    /// Whether what is at this path can't be seen there.
    pub(in crate::runtime) fn hides(&self, path: &Path) -> bool {
        let is_below = |folder: &OsString| path.starts_with(folder);
        let is_covered =
            self.hidden.iter().any(is_below) || mounts::TEMPORARY.iter().any(|folder| path.starts_with(folder));
        !self.is_off() && is_covered && !self.read.iter().chain(&self.write).any(is_below)
    }
}

/// Opens what is at a path that the operator allows, or that is the plugin's own, without following a link: another plugin may
/// have put one there since the path was looked at.
fn without_links(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

/// The kernel's number of an error that a library tells in its own words: it is all that can be told from the new process.
/// What has none is what this host does not have.
fn kernels(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(number);
        }
        cause = error.source();
    }
    rustix::io::Errno::OPNOTSUPP.into()
}

/// Shuts this process in, which is about to run a program in this folder: for good, with all that it will start.
///
/// # Errors
/// The kernel lacks what it takes, or a file of the rules can't be opened.
pub(in crate::runtime) fn shut_in(sandbox: &Sandbox, folder: &Path, has_own_view: bool) -> io::Result<()> {
    if sandbox.is_off() {
        return Ok(());
    }
    calls::drop_capabilities()?;
    files::restrict(sandbox, folder, has_own_view)?;
    calls::refuse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_to_what_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir_all(real.join("below")).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        without_links(&real.join("below")).unwrap();
        for path in [&link, &link.join("below")] {
            assert_eq!(without_links(path).unwrap_err(), rustix::io::Errno::LOOP);
        }
    }
}
