//! What a plugin may read and write, by Landlock.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::io::Errno;

use super::{Sandbox, kernels, mounts::TEMPORARY, without_links};
use crate::domain::SandboxLevel;

/// The newest rules that are known here; an older kernel gets those that it knows.
const KNOWN: ABI = ABI::V6;

/// Devices that every program may use.
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"];

/// Where a system has programs, libraries, their settings and what it tells of itself.
const SYSTEM: [&str; 14] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/proc", "/sys", "/dev",
    "/run",
];

/// Restricts this process and all that it starts.
///
/// # Errors
/// The kernel has no Landlock, or no rules for connections where they are asked for.
pub(super) fn restrict(sandbox: &Sandbox, folder: &Path, has_own_view: bool) -> io::Result<()> {
    let status = apply(sandbox, folder, has_own_view).map_err(|error| kernels(&error))?;
    must_hold(status.ruleset)
}

/// The version of Landlock on this host; none where there is none. The library tells it only of what it has restricted: so
/// a thread is, which ends at once.
pub fn landlock_version() -> Option<i32> {
    let restrict = || Ruleset::default().handle_access(AccessFs::Execute)?.create()?.restrict_self();
    let restricted = thread::Builder::new().spawn(restrict).ok()?.join().ok()?;
    match restricted.ok()?.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => Some(kernel_abi.unwrap_or(effective_abi as i32)),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}

/// An older kernel lacks some rules. One that has none at all must not be taken for a sandbox.
fn must_hold(status: RulesetStatus) -> io::Result<()> {
    match status {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err(Errno::OPNOTSUPP.into()),
    }
}

fn apply(sandbox: &Sandbox, folder: &Path, has_own_view: bool) -> Result<RestrictionStatus, RulesetError> {
    let hidden: Vec<PathBuf> = sandbox.hidden.iter().filter(|_| !has_own_view).map(PathBuf::from).collect();
    let (read, write) = (AccessFs::from_read(KNOWN), AccessFs::from_all(KNOWN));
    let rules = Ruleset::default().handle_access(write)?.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    let rules = if sandbox.level == SandboxLevel::Strict { only_to_listed_ports(rules)? } else { rules };
    let mut rules = rules.create()?;
    let readable: Vec<PathBuf> = match sandbox.level {
        SandboxLevel::Strict => SYSTEM.into_iter().flat_map(|system| around(Path::new(system), &hidden)).collect(),
        SandboxLevel::Off | SandboxLevel::Protect => around(Path::new("/"), &hidden),
    };
    let temporary = TEMPORARY.into_iter().flat_map(|folder| around(Path::new(folder), &hidden));
    let own: Vec<PathBuf> = temporary.chain([folder.to_owned()]).collect();
    let use_of_devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev;
    let (allowed_read, allowed_write) = (held(&sandbox.read), held(&sandbox.write));
    rules = rules
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(allowed_read.iter().map(named), read))?
        .add_rules(path_beneath_rules(allowed_write.iter().map(named), write))?
        .add_rules(path_beneath_rules(DEVICES, use_of_devices))?
        .add_rules(path_beneath_rules(own, write))?;
    if sandbox.level == SandboxLevel::Strict {
        let ports = sandbox.ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
        rules = rules.add_rules(ports)?;
    }
    rules.restrict_self()
}

/// Unlike the others these rules are there or nothing is: without them `strict` would say more than it does.
fn only_to_listed_ports(rules: Ruleset) -> Result<Ruleset, RulesetError> {
    let rules = rules.set_compatibility(CompatLevel::HardRequirement).handle_access(AccessNet::ConnectTcp)?;
    Ok(rules.set_compatibility(CompatLevel::BestEffort))
}

/// What the operator allows, as it is there now; what is gone is left out.
fn held(allowed: &[OsString]) -> Vec<OwnedFd> {
    allowed.iter().filter_map(|path| without_links(Path::new(path)).ok()).collect()
}

/// A path of what is held, which leads nowhere else.
fn named(held: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", held.as_raw_fd())
}

/// Everything below this folder but what is hidden: Landlock knows only what is allowed, so that each folder on the way to a
/// hidden one is spelled out.
fn around(folder: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    if hidden.iter().any(|hidden| hidden == folder) {
        return Vec::new();
    }
    if !hidden.iter().any(|hidden| hidden.starts_with(folder)) {
        return vec![folder.to_owned()];
    }
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.flat_map(|entry| around(&entry.path(), hidden)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_rules_is_no_sandbox() {
        assert_eq!(Errno::from_io_error(&must_hold(RulesetStatus::NotEnforced).unwrap_err()), Some(Errno::OPNOTSUPP));
        must_hold(RulesetStatus::PartiallyEnforced).unwrap();
    }

    #[test]
    fn what_lies_around_a_hidden_folder_is_spelled_out() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["a/hidden/b", "a/c", "d"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let mut found = around(folder.path(), &[at("a/hidden")]);
        found.sort();
        assert_eq!(found, [at("a/c"), at("d")]);
        assert_eq!(around(&at("d"), &[at("a/hidden")]), [at("d")]);
        assert_eq!(around(&at("a/hidden"), &[at("a/hidden")]), [] as [PathBuf; 0]);
    }
}
