//! Making the process of a plugin, and what happens in it between fork and exec.

use std::{
    io::{self, PipeReader, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Gid, Pid, Resource, Rlimit, Uid, chdir, getrlimit, setrlimit, setsid},
    thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid},
};

use super::{
    protocol::{Cgroup, Launch, Messages, Report, Step, encode},
    sys::{self, Fork},
};
use crate::{
    domain::policy::{Limits, User},
    runtime::{cgroup::Membership, sandbox},
};

/// A process that was made.
pub(super) struct Launched {
    pub(super) pid: Pid,
    /// What it says of its program: see [`refusal`].
    pub(super) outcome: PipeReader,
    /// The control group that it is in, or why it is in none though one was made for it.
    pub(super) joined: io::Result<Option<Membership>>,
}

/// Makes the process.
///
/// # Errors
/// There are no processes or descriptors left.
pub(super) fn launch(mut launch: Launch, output: [OwnedFd; 2], has_own_view: bool) -> io::Result<Launched> {
    let (outcome, mut told) = io::pipe()?;
    let (forked, joined) = fork(launch.cgroup.as_ref())?;
    match forked {
        Fork::Parent(pid) => Ok(Launched { pid, outcome, joined }),
        Fork::Child => {
            // A control group that it is not in holds nothing of it.
            launch.cgroup.take_if(|_| joined.is_err());
            let (step, error) = become_plugin(launch, output, has_own_view);
            let refusal = Report::Refused { step, errno: error.raw_os_error().unwrap_or_default() };
            let _ = encode(&refusal).and_then(|line| told.write_all(&line));
            sys::exit(1)
        }
    }
}

/// Makes a copy of this process in this control group; outside of it, where the host does not allow that.
fn fork(cgroup: Option<&Cgroup>) -> io::Result<(Fork, io::Result<Option<Membership>>)> {
    let Some(cgroup) = cgroup else { return Ok((sys::fork()?, Ok(None))) };
    let joined = Membership::open(cgroup.folder.clone().into());
    match joined.and_then(|joined| Ok((sys::fork_into(joined.descriptor())?, joined))) {
        Ok((forked, joined)) => Ok((forked, Ok(Some(joined)))),
        Err(error) => Ok((sys::fork()?, Err(error))),
    }
}

/// What a new process said: why it does not run its program; nothing if it does.
pub(super) fn refusal(mut outcome: PipeReader) -> Option<Report> {
    let (mut said, mut reports) = (Vec::new(), Messages::new());
    outcome.read_to_end(&mut said).and_then(|_| reports.push(&said)).ok()?;
    reports.next()
}

/// Returns only when it has failed: at which step, and why.
fn become_plugin(launch: Launch, output: [OwnedFd; 2], has_own_view: bool) -> (Step, io::Error) {
    match prepare(&launch, output, has_own_view) {
        Ok(()) => (Step::Program, sys::exec(launch.file, launch.args, launch.variables)),
        Err(failed) => failed,
    }
}

fn prepare(launch: &Launch, output: [OwnedFd; 2], has_own_view: bool) -> Result<(), (Step, io::Error)> {
    isolate(output).map_err(|error| (Step::Process, error))?;
    if !launch.sandbox.is_off() {
        sandbox::bound_capabilities();
    }
    launch.user.map_or(Ok(()), change_user).map_err(|error| (Step::User, error))?;
    chdir(&launch.folder).map_err(|error| (Step::Folder, error.into()))?;
    let shut_in = sandbox::shut_in(&launch.sandbox, Path::new(&launch.folder), has_own_view);
    shut_in.map_err(|error| (Step::Sandbox, error))?;
    // Last: they are the plugin's, and what shuts it in takes memory and descriptors too.
    limit(launch).map_err(|error| (Step::Limits, error))
}

/// Makes this process the leader of a session of its own, which can't gain privileges and has nothing of the init's but its
/// output.
fn isolate([stdout, stderr]: [OwnedFd; 2]) -> io::Result<()> {
    setsid()?;
    set_no_new_privs(true)?;
    sys::unblock_signals();
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(nothing)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)?;
    // Not closed yet: one of them tells the init when the program runs.
    sys::close_on_exec()
}

fn limit(launch: &Launch) -> io::Result<()> {
    if let Some((current, maximum)) = launch.open_files {
        setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    }
    let limits = launch.cgroup.as_ref().map_or(launch.limits, |cgroup| cgroup.holds.leave(launch.limits));
    let Limits { memory_bytes, open_files, processes, file_bytes, cpu_seconds, cpu_millis: _ } = limits;
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::As, memory_bytes),
        (Resource::Nofile, open_files),
        (Resource::Nproc, processes),
        (Resource::Fsize, file_bytes),
        (Resource::Cpu, cpu_seconds),
    ];
    for (resource, limit) in wanted {
        if let Some(limit) = limit {
            // Beyond the host's own only a privileged user may go, and none needs to.
            let most = getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
    }
    Ok(())
}

/// Gives up plugd's own groups and user, for good.
fn change_user(user: User) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&[])?;
    set_thread_gid(group)?;
    Ok(set_thread_uid(user)?)
}
