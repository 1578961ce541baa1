//! What can't be said without unsafe code: making a process, running a program in it, its signals and descriptors; and two
//! questions of `plugd doctor`.
//!
//! The keeper and the inits have one thread each, so that a fork of theirs may do all that they may do.

#![allow(unsafe_code, reason = "there is no safe way to fork, to exec and to set signals to their defaults")]

use std::{
    ffi::{CString, OsString},
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    ptr,
};

use rustix::process::Pid;

/// The highest signal of the kernel.
const LAST_SIGNAL: libc::c_int = 64;

/// The flag of a new process that is made in a control group; the C library's constant has too few bits.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// The kernel's set of signals.
type SignalSet = u64;

/// Its size in bytes.
const SIGNAL_SET_BYTES: usize = size_of::<SignalSet>();

/// Which of the two a fork returned to.
pub(super) enum Fork {
    /// The process that forked; the id is its new child's.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Makes a copy of this process, which must have one thread.
///
/// # Errors
/// The host allows no more processes.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: this process has one thread, so that no lock is held in the copy by a thread that is not there.
    forked(unsafe { libc::fork() }.into())
}

/// As [`fork`], but the new process is the first of a process namespace, and has a view of mounts, of its own. Unless this
/// process is root's, it is in a user namespace too.
///
/// # Errors
/// The host does not allow it.
pub(super) fn fork_apart(has_users: bool) -> io::Result<Fork> {
    let users = if has_users { libc::CLONE_NEWUSER } else { 0 };
    clone((libc::CLONE_NEWPID | libc::CLONE_NEWNS | users).unsigned_abs().into(), 0)
}

/// As [`fork`], but the new process is in this control group.
///
/// # Errors
/// The host does not allow it.
pub(super) fn fork_into(cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    clone(INTO_CGROUP, cgroup.as_raw_fd().unsigned_abs().into())
}

fn clone(flags: u64, cgroup: u64) -> io::Result<Fork> {
    // SAFETY: all zeros are the kernel's defaults.
    let mut how: libc::clone_args = unsafe { std::mem::zeroed() };
    how.flags = flags;
    how.cgroup = cgroup;
    how.exit_signal = libc::SIGCHLD.unsigned_abs().into();
    // SAFETY: as `fork`: without a stack of its own the new process goes on in a copy of this one.
    forked(unsafe { libc::syscall(libc::SYS_clone3, &raw const how, size_of_val(&how)) })
}

/// Which of the two this is, by what the kernel has answered.
fn forked(answer: libc::c_long) -> io::Result<Fork> {
    match checked(answer)? {
        0 => Ok(Fork::Child),
        child => {
            let child = i32::try_from(child).ok().and_then(Pid::from_raw);
            child.map(Fork::Parent).ok_or_else(|| io::Error::other("a process without an id"))
        }
    }
}

/// What the kernel has answered, unless that is that it refuses.
fn checked(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Kills every process of this namespace but this one, its first: all at once, so that none can fork away. The kernel looks at
/// all processes of the host for that.
pub(super) fn kill_all() {
    // SAFETY: two numbers.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// Ends this process at once: nothing of the process that it was copied from is flushed or run.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: it takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Runs exactly this file in this process, with these arguments and variables (`NAME=value`). The C library's other ways
/// have `/bin/sh` interpret whatever the kernel refuses as no program. Returns only when it has failed.
pub(super) fn exec(file: OsString, args: Vec<OsString>, variables: Vec<OsString>) -> io::Error {
    let texts = |texts: Vec<OsString>| texts.into_iter().map(|text| CString::new(text.into_vec())).collect();
    let texts = (CString::new(file.into_vec()), texts(args), texts(variables));
    let (Ok(file), Ok(args), Ok(variables)): (_, Result<Vec<CString>, _>, Result<Vec<CString>, _>) = texts else {
        return io::ErrorKind::InvalidInput.into();
    };
    let (args, variables) = (pointers(&args), pointers(&variables));
    // SAFETY: three pointers to what lives until the end of this function, the lists ended by a null.
    unsafe { libc::execve(file.as_ptr(), args.as_ptr(), variables.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// Closes all descriptors of this process but these and the first three. For a process that has just been forked: the
/// values that own the others must never be dropped in it.
///
/// # Errors
/// The kernel is older than 5.9.
pub(super) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<libc::c_uint> = keep.iter().filter_map(|kept| kept.as_raw_fd().try_into().ok()).collect();
    keep.sort_unstable();
    let mut from = 3;
    for kept in keep.into_iter().filter(|kept| *kept >= 3) {
        if from < kept {
            close_range(from, kept - 1, 0)?;
        }
        from = kept + 1;
    }
    close_range(from, libc::c_uint::MAX, 0)
}

/// Marks all descriptors but the first three to be closed when a program is run.
///
/// # Errors
/// The kernel is older than 5.11.
pub(super) fn close_on_exec() -> io::Result<()> {
    close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: three numbers. What owns one of these descriptors is never used again: see the two callers.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Blocks all signals that can be blocked: a keeper ends with what it keeps, not when somebody ends everything near it.
pub(super) fn block_signals() {
    set_mask(SignalSet::MAX);
}

/// A descriptor that is readable when a child has ended. The signal must be blocked.
///
/// # Errors
/// There are no descriptors left.
pub(super) fn child_ends() -> io::Result<OwnedFd> {
    let ends: SignalSet = 1 << (libc::SIGCHLD - 1);
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is of the size that is told, and is only read.
    let made = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const ends, SIGNAL_SET_BYTES, flags) };
    let made = libc::c_int::try_from(checked(made)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Has every signal mean what it means by default, in this process and those that are copied from it: ignored ones stay ignored
/// across exec, and whoever started plugd must not make plugins deaf.
pub(super) fn reset_signals() {
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

/// Lets all signals through: blocked ones stay blocked across exec.
pub(super) fn unblock_signals() {
    set_mask(0);
}

/// Lets this process hear of signals and of the ends of its children, whatever the one that started it blocked or ignored
/// for its own sake. To be called before there are threads.
pub fn hear_signals() {
    set_mask(0);
    // SAFETY: the default is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Traces another process, which goes on undisturbed, until this one ends.
///
/// # Errors
/// It may not.
pub fn trace(process: Pid) -> io::Result<()> {
    // SAFETY: of a process that is seized without options nothing is read or written here: the pointers are no addresses.
    let seized = unsafe {
        let none = ptr::null_mut::<libc::c_void>();
        libc::ptrace(libc::PTRACE_SEIZE, process.as_raw_nonzero().get(), none, none)
    };
    checked(seized).map(drop)
}

/// Whether something keeps the clock of this host right, as far as the kernel knows.
///
/// # Errors
/// The kernel does not tell.
pub fn is_clock_synchronized() -> io::Result<bool> {
    // SAFETY: all zeros ask for nothing to be changed.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is the kernel's own, and lives until this returns.
    checked(unsafe { libc::adjtimex(&raw mut clock) }.into())?;
    Ok(clock.status & libc::STA_UNSYNC == 0)
}

/// The standard library hands on what is blocked.
fn set_mask(blocked: SignalSet) {
    // SAFETY: the set is of the size that is told, and nothing is written.
    unsafe {
        let (how, before) = (libc::SIG_SETMASK, ptr::null_mut::<SignalSet>());
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const blocked, before, SIGNAL_SET_BYTES)
    };
}
