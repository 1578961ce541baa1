//! What happens in a new process between fork and exec. What is unsafe about processes is here.

#![allow(unsafe_code, reason = "code between fork and exec, and resetting signal handlers, can't be said otherwise")]

use std::{
    ffi::{CString, NulError, OsString},
    io,
    os::unix::{ffi::OsStringExt, process::CommandExt},
    process::Command,
    ptr,
};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit, setsid,
};

use super::{descriptors, options::Limits};

/// The signals that the keeper must outlive: whoever ends plugd may send them to everything near it.
const KEEPER_IGNORES: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The highest signal of the kernel.
const LAST_SIGNAL: libc::c_int = 64;

/// The kernel's set of signals.
type SignalSet = u64;

/// Its size in bytes.
const SIGNAL_SET_BYTES: usize = size_of::<SignalSet>();

/// The first descriptor after stdin, stdout and stderr.
const FIRST_INHERITED: libc::c_uint = 3;

/// Makes the process of this command the leader of a session of its own that dies with the thread which spawns it, can't
/// gain privileges, inherits no descriptor and has no handler or limit of plugd's.
pub(super) fn isolate(command: &mut Command, limits: Limits) {
    let (parent, open_files) = (getpid(), descriptors::inherited());
    // SAFETY: `become_plugin` only makes system calls that are async-signal-safe, allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || become_plugin(parent, open_files.as_ref(), limits)) };
}

/// Texts as the kernel takes them: a list of pointers with a null at its end.
struct Texts {
    /// What the pointers lead to: moving this moves no text.
    _owned: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the texts belong to it alone and never change.
unsafe impl Send for Texts {}
// SAFETY: as above.
unsafe impl Sync for Texts {}

impl Texts {
    fn new(texts: impl IntoIterator<Item = OsString>) -> Result<Self, NulError> {
        let owned = texts.into_iter().map(|text| CString::new(text.into_vec())).collect::<Result<Vec<_>, _>>()?;
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { _owned: owned, pointers })
    }
}

/// Has this command run exactly the file that it names, with these arguments (the first of which is its name) and these
/// variables (`NAME=value`). By itself the standard library asks the C library, which has `/bin/sh` interpret whatever
/// the kernel refuses as no program. To be called last: nothing comes after it.
///
/// # Errors
/// A text has a NUL character.
pub(super) fn run_exactly(
    command: &mut Command,
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = OsString>,
) -> Result<(), NulError> {
    let file = CString::new(command.get_program().to_owned().into_vec())?;
    let (args, variables) = (Texts::new(args)?, Texts::new(variables)?);
    let exec = move || {
        let (args, variables) = (&args, &variables);
        // SAFETY: three pointers to what lives in this closure, each ended by a null; async-signal-safe. It returns only
        // when it has failed.
        unsafe { libc::execve(file.as_ptr(), args.pointers.as_ptr(), variables.pointers.as_ptr()) };
        Err(io::Error::last_os_error())
    };
    // SAFETY: `exec` makes one system call that is async-signal-safe, allocates nothing and takes no lock.
    unsafe { command.pre_exec(exec) };
    Ok(())
}

/// Makes the process of this command outlive plugd, deaf to the signals that end plugd.
pub(super) fn detach(command: &mut Command) {
    // SAFETY: `become_keeper` only makes system calls that are async-signal-safe, allocates nothing and takes no lock.
    unsafe { command.pre_exec(become_keeper) };
}

fn become_plugin(parent: Pid, open_files: Option<&Rlimit>, limits: Limits) -> io::Result<()> {
    setsid()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above took effect.
    if getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    rustix::thread::set_no_new_privs(true)?;
    reset_signals();
    if let Some(limit) = open_files {
        setrlimit(Resource::Nofile, *limit)?;
    }
    apply(limits)?;
    close_inherited()
}

fn become_keeper() -> io::Result<()> {
    setsid()?;
    reset_signals();
    for signal in KEEPER_IGNORES {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    close_inherited()
}

/// Ignored signals stay ignored across exec, and blocked ones blocked: whoever started plugd must not make plugins deaf.
fn reset_signals() {
    unblock_signals();
    // Asked of the kernel: the C library would not touch the two signals that it keeps for itself.
    let default = [0_usize; 8];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: all zeros is the kernel's default disposition, which installs no handler, and `default` is larger than
        // the kernel's structure. The two numbers that can't be changed are refused harmlessly.
        unsafe {
            let none = ptr::null_mut::<usize>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, SIGNAL_SET_BYTES)
        };
    }
}

/// Lets this process hear of signals and of the ends of its children, whatever the one that started it blocked or ignored
/// for its own sake. To be called before there are threads.
pub fn hear_signals() {
    unblock_signals();
    // SAFETY: the default is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The standard library hands on what is blocked.
fn unblock_signals() {
    let none: SignalSet = 0;
    // SAFETY: the set is of the size that is told, and nothing is written.
    unsafe {
        let (how, before) = (libc::SIG_SETMASK, ptr::null_mut::<SignalSet>());
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const none, before, SIGNAL_SET_BYTES)
    };
}

fn apply(limits: Limits) -> io::Result<()> {
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::As, limits.memory_bytes),
        (Resource::Nofile, limits.open_files),
        (Resource::Nproc, limits.processes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Cpu, limits.cpu_seconds),
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

/// Marks instead of closing: the pipe that reports a failed exec must live until then.
fn close_inherited() -> io::Result<()> {
    // SAFETY: touches only flags of descriptors of this process, which is about to exec.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST_INHERITED, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
