//! What a program is told about signals by the one that starts it: an ignored signal stays ignored and a blocked one
//! blocked. A script ignores SIGINT for what it runs in the background, the tests among it.

#![allow(unsafe_code, reason = "what happens between fork and exec can't be said otherwise")]

use std::{io, mem, os::unix::process::CommandExt, process::Command, ptr};

/// The signals of the kernel that have a name; those beyond are nobody's.
const SIGNALS: std::ops::Range<libc::c_int> = 1..32;

/// The program starts as from a terminal, whatever the tests were started with: no signal is ignored or blocked.
pub(super) fn reset(command: &mut Command) {
    // SAFETY: `inherit` only makes system calls that are async-signal-safe, allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| inherit(libc::SIG_DFL, false)) };
}

/// The program starts as a careless parent leaves it: every signal that can be is ignored, and blocked too.
pub(crate) fn deafen(command: &mut Command) {
    // SAFETY: as above.
    unsafe { command.pre_exec(|| inherit(libc::SIG_IGN, true)) };
}

fn inherit(disposition: libc::sighandler_t, is_blocked: bool) -> io::Result<()> {
    // SAFETY: neither of the two dispositions is a handler, and the set is filled before it is used.
    unsafe {
        for signal in SIGNALS {
            // The two that can't be changed are refused harmlessly.
            libc::signal(signal, disposition);
        }
        let mut mask: libc::sigset_t = mem::zeroed();
        let fill = if is_blocked { libc::sigfillset } else { libc::sigemptyset };
        fill(&raw mut mask);
        match libc::sigprocmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
