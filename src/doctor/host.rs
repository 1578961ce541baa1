//! The host, whatever the settings are: the kernel, what it can shut in, its limits and its clock.

use std::{fs, path::Path};

use jiff::{Timestamp, civil::date, tz::TimeZone};
use rustix::{
    process::{Resource, geteuid, getrlimit},
    system::uname,
};

use super::Check;
use crate::{
    domain::SandboxLevel,
    runtime::{
        cgroup::{Controllers, Outlook},
        keeper, sandbox,
    },
};

/// The oldest kernel on which plugd runs.
const OLDEST: (u32, u32) = (5, 11);

/// Descriptors that plugd holds for each plugin, rounded up.
const DESCRIPTORS_A_PLUGIN: u64 = 6;

/// Processes of each plugin at the least: its init and itself.
const PROCESSES_A_PLUGIN: u64 = 2;

/// Fewer plugins than this are soon reached.
const FEW_PLUGINS: u64 = 200;

/// What looks at the kernel's own answer to "which system calls can be refused?".
const SECCOMP_ACTIONS: &str = "/proc/sys/kernel/seccomp/actions_avail";

/// Switches that keep users from making namespaces: the file, what it says then, and how to turn it.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "give plugd an AppArmor profile that has `userns,`, or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// Looks at all of it.
pub(super) fn checks(level: SandboxLevel) -> Vec<Check> {
    let is_shut_in = level != SandboxLevel::Off;
    vec![
        kernel(),
        landlock(sandbox::landlock_version(), level),
        seccomp(is_shut_in),
        namespaces(is_shut_in),
        control_groups(),
        descriptors(),
        processes(),
        clock(Timestamp::now()),
    ]
}

fn kernel() -> Check {
    let uname = uname();
    let release = uname.release().to_string_lossy();
    let found = format!("Linux {release}");
    match version(&release) {
        Some(version) if version < OLDEST => {
            Check::failure("kernel", found, "plugins run on Linux 5.11 or later: update it")
        }
        _ => Check::ok("kernel", found),
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What each version of Landlock brought that plugd's rules use, and the kernel that brought it.
const BROUGHT: [(i32, &str, &str); 5] = [
    (2, "5.19", "files are not moved between folders at all"),
    (3, "6.2", "files that may only be read can be emptied"),
    (4, "6.7", "no connection is refused, so that --sandbox strict starts nothing"),
    (5, "6.10", "devices take any ioctl"),
    (6, "6.12", "signals and abstract sockets are not refused"),
];

fn landlock(version: Option<i32>, level: SandboxLevel) -> Check {
    let subject = "Landlock";
    let Some(version) = version else {
        let found = "this kernel has none";
        let remedy = "Linux 5.13 or later has it, where `lsm=` at boot names landlock; without it plugins run with --sandbox \
                      off only";
        return match level {
            SandboxLevel::Off => Check::warning(subject, found, remedy),
            SandboxLevel::Protect | SandboxLevel::Strict => Check::failure(subject, found, remedy),
        };
    };
    let lacking: Vec<_> = BROUGHT.iter().filter(|(brought, ..)| *brought > version).collect();
    let Some((_, newest, _)) = lacking.last() else {
        return Check::ok(subject, format!("version {version}: all of plugd's rules hold"));
    };
    let left_out: Vec<&str> = lacking.iter().map(|(.., what)| *what).collect();
    let found = format!("version {version}: {}", left_out.join("; "));
    let remedy = format!("Linux {newest} has all that plugd's rules use");
    match level {
        SandboxLevel::Strict if version < 4 => Check::failure(subject, found, remedy),
        _ => Check::warning(subject, found, remedy),
    }
}

fn seccomp(is_shut_in: bool) -> Check {
    let subject = "seccomp";
    let found = "this kernel has no filters of system calls";
    let remedy = "plugins run with --sandbox off only: use a kernel with seccomp filters";
    match text(SECCOMP_ACTIONS).split_whitespace().any(|action| action == "errno") {
        true => Check::ok(subject, "system calls can be refused"),
        false if is_shut_in => Check::failure(subject, found, remedy),
        false => Check::warning(subject, found, remedy),
    }
}

/// What is switched off. Whether they really can be made, the run of a probe shows.
fn namespaces(is_shut_in: bool) -> Check {
    let subject = "namespaces";
    if geteuid().is_root() {
        return Check::ok(subject, "as root: processes and mounts of a plugin's own need no user namespace");
    }
    let is_off = |(file, off, _): &&(&str, &str, &str)| text(file).trim() == *off;
    let Some((file, off, how)) = SWITCHES.iter().find(is_off) else {
        return Check::ok(subject, "nothing forbids users to make them");
    };
    let found = format!("users may not make them: {file} is {off}");
    if is_shut_in {
        let remedy = format!("{how}; without them plugins are held by rules for files alone");
        return Check::warning(subject, found, remedy);
    }
    Check::ok(subject, format!("{found}; --sandbox off needs none"))
}

const OF_GROUPS: &str = "start plugd in a control group that is its own, with `Delegate=cpu memory pids` in its unit, and run this there; \
                      without one, limits mean less: README.md, What plugins may use";

/// What runs would have, were plugd started where this is.
fn control_groups() -> Check {
    let subject = "control groups";
    match Outlook::of_this_process() {
        Ok(outlook) if is_enough(&outlook) => Check::ok(subject, groups(&outlook)),
        Ok(outlook) => Check::warning(subject, groups(&outlook), OF_GROUPS),
        Err(error) => Check::warning(subject, error.to_string(), OF_GROUPS),
    }
}

fn is_enough(outlook: &Outlook) -> bool {
    outlook.can_be_made && lacking(outlook).is_empty()
}

/// What no group of a run would hold.
fn lacking(outlook: &Outlook) -> Vec<&'static str> {
    Controllers::ALL.without(outlook.holds).collect()
}

fn groups(outlook: &Outlook) -> String {
    let group = outlook.group.display();
    if !outlook.can_be_made {
        return format!("runs have none: in {group}, where this was started, this user may make none");
    }
    let made = format!("each run has its own, in {group}, where this was started");
    let why = outlook.obstacle.as_ref().map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
    match lacking(outlook).join(", ") {
        lacking if lacking.is_empty() => format!("{made}: cpu, memory, pids"),
        lacking => format!("{made}, without {lacking}{why}"),
    }
}

/// plugd raises its soft limit to the hard one.
fn descriptors() -> Check {
    let subject = "open files";
    let Some(limit) = getrlimit(Resource::Nofile).maximum else { return Check::ok(subject, "no limit") };
    let plugins = limit / DESCRIPTORS_A_PLUGIN;
    let found = format!("{limit} at the most: enough for some {plugins} plugins");
    if plugins >= FEW_PLUGINS {
        return Check::ok(subject, found);
    }
    Check::warning(subject, found, "raise the hard limit: `LimitNOFILE=` in plugd's unit, or `ulimit -Hn`")
}

fn processes() -> Check {
    let subject = "processes";
    let of_host = text("/proc/sys/kernel/pid_max").trim().parse().ok();
    let of_user = getrlimit(Resource::Nproc).maximum.filter(|_| !geteuid().is_root());
    let limit: u64 = of_user.into_iter().chain(of_host).min().unwrap_or(u64::MAX);
    let found = format!("{limit} at the most");
    if limit / PROCESSES_A_PLUGIN >= FEW_PLUGINS {
        return Check::ok(subject, found);
    }
    let remedy = "a plugin takes two, and what it starts: raise `LimitNPROC=` in plugd's unit or `ulimit -u`";
    Check::warning(subject, found, remedy)
}

/// Certificates and tokens end by the clock, and so do the pauses between restarts.
fn clock(now: Timestamp) -> Check {
    let subject = "clock";
    let told = format!("{now:.0}");
    let written = date(2026, 1, 1).to_zoned(TimeZone::UTC).map(|time| time.timestamp());
    if written.is_ok_and(|written| now < written) {
        let found = format!("{told}, which is before plugd was written");
        return Check::failure(subject, found, "set the clock of this host");
    }
    match keeper::is_clock_synchronized() {
        Ok(true) => Check::ok(subject, format!("{told}, synchronised")),
        Ok(false) => Check::warning(
            subject,
            format!("{told}, and nothing keeps it right"),
            "run chrony, ntpd or systemd-timesyncd on this host; a virtual machine may get its time otherwise",
        ),
        Err(_) => Check::ok(subject, format!("{told}; the kernel does not tell whether it is synchronised")),
    }
}

/// The text of a small file of the kernel's; empty where it can't be read.
fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_release_has_two_numbers_whatever_follows() {
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("5.4-rc1"), Some((5, 4)));
        assert_eq!(version("nonsense"), None);
        assert!(matches!(version("5.10.0"), Some(found) if found < OLDEST));
    }

    #[test]
    fn an_older_landlock_says_what_it_leaves_out() {
        let tell = |version, level| {
            let check = landlock(version, level);
            (check.outcome, check.found, check.remedy.unwrap_or_default())
        };
        assert_eq!(tell(Some(6), SandboxLevel::Strict).0, Outcome::Ok);
        assert_eq!(tell(Some(99), SandboxLevel::Protect).0, Outcome::Ok);
        let (outcome, found, remedy) = tell(Some(5), SandboxLevel::Protect);
        assert_eq!(outcome, Outcome::Warning);
        assert!(found.contains("signals") && !found.contains("ioctl") && remedy.contains("6.12"), "{found} {remedy}");
        let (outcome, found, _) = tell(Some(3), SandboxLevel::Strict);
        assert!(outcome == Outcome::Failure && found.contains("strict"), "{found}");
        assert_eq!(tell(Some(3), SandboxLevel::Protect).0, Outcome::Warning);
        assert_eq!(tell(None, SandboxLevel::Protect).0, Outcome::Failure);
        assert_eq!(tell(None, SandboxLevel::Off).0, Outcome::Warning);
    }

    #[test]
    fn a_clock_before_plugd_is_wrong() {
        assert_eq!(clock(Timestamp::UNIX_EPOCH).outcome, Outcome::Failure);
        assert_ne!(clock(Timestamp::now()).outcome, Outcome::Failure);
    }

    fn mk_outlook() -> Outlook {
        Outlook { group: "/groups/service".into(), can_be_made: true, holds: Controllers::ALL, obstacle: None }
    }

    #[test]
    fn a_group_has_all_that_limits_need_or_says_what_it_lacks() {
        let whole = mk_outlook();
        assert!(is_enough(&whole) && groups(&whole).contains("/groups/service"), "{}", groups(&whole));
        let obstacle = Some("other processes are in it".to_owned());
        let bare = Outlook { holds: Controllers::default(), obstacle, ..mk_outlook() };
        assert!(!is_enough(&bare));
        let found = groups(&bare);
        assert!(found.ends_with("without cpu, memory, pids: other processes are in it"), "{found}");
        let closed = Outlook { can_be_made: false, ..mk_outlook() };
        assert!(!is_enough(&closed) && groups(&closed).starts_with("runs have none"));
    }
}
