//! Lines of plugd's own in a plugin's log, about what its sandbox may have refused it.
//!
//! The kernel tells nobody what it refused to whom. All that there is, is what the plugin itself prints about an error: so a
//! hint follows the first line of stderr that reads like a refusal, each once a run, and says "may".

use memchr::memmem;

use super::line::Printed;
use crate::domain::SandboxLevel;

/// What may have been refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// The use of a file, or a connection.
    Use,
    /// What needs privileges, or is no plugin's business.
    Privilege,
}

impl Refused {
    /// What the C library and the languages print for the kernel's errors; some begin with a capital letter.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Use => &["ermission denied", "EACCES", "ead-only file system", "EROFS"],
            Self::Privilege => &["peration not permitted", "EPERM"],
        }
    }

    fn is_in(self, printed: &[u8]) -> bool {
        self.words().iter().any(|words| memmem::find(printed, words.as_bytes()).is_some())
    }

    /// Nothing where nothing is refused.
    fn hint(self, level: SandboxLevel) -> Option<&'static str> {
        match (self, level) {
            (_, SandboxLevel::Off) => None,
            (Self::Use, SandboxLevel::Protect) => Some(
                "plugd: the sandbox may have refused this: with --sandbox protect a plugin writes to its own folder, /tmp and \
                 /dev/shm only; --sandbox-write PATH of the server, or `plugd policy set ID sandbox-write=PATH`, allows it another path",
            ),
            (Self::Use, SandboxLevel::Strict) => Some(
                "plugd: the sandbox may have refused this: with --sandbox strict a plugin writes to its own folder, /tmp and \
                 /dev/shm only, reads besides the system's folders only, and connects over TCP to plugd only; --sandbox-read \
                 PATH and --sandbox-write PATH of the server allow it another path, and so does `plugd policy set`, which has \
                 tcp-ports too",
            ),
            (Self::Privilege, SandboxLevel::Protect | SandboxLevel::Strict) => Some(
                "plugd: the sandbox may have refused this: a plugin has no capabilities, as root neither, and may not mount, or \
                 trace and signal the host's processes; only --sandbox off of the server, or in the plugin's policy, allows that",
            ),
        }
    }
}

/// Which hints a run may still get.
#[derive(Debug)]
pub(super) struct Hints {
    level: SandboxLevel,
    untold: Vec<Refused>,
    /// Those of a line that has not ended.
    due: Vec<Refused>,
}

impl Hints {
    /// Those of a run that is shut in so much.
    pub(super) fn of(level: SandboxLevel) -> Self {
        let kinds = [Refused::Use, Refused::Privilege].into_iter();
        Self { level, untold: kinds.filter(|kind| kind.hint(level).is_some()).collect(), due: Vec::new() }
    }

    /// What is to follow what was printed to stderr. Nothing comes between the pieces of a line.
    pub(super) fn after(&mut self, printed: Printed<'_>) -> Vec<&'static str> {
        let found = self.untold.extract_if(.., |kind| kind.is_in(printed.bytes));
        self.due.extend(found);
        let is_whole = printed.is_last || printed.bytes.ends_with(b"\n");
        let due = if is_whole { std::mem::take(&mut self.due) } else { Vec::new() };
        due.into_iter().filter_map(|kind| kind.hint(self.level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(hints: &mut Hints, bytes: &str) -> usize {
        hints.after(Printed { bytes: bytes.as_bytes(), is_last: false, max_line: 100 }).len()
    }

    #[test]
    fn each_hint_comes_once_a_run_and_after_a_whole_line() {
        let mut hints = Hints::of(SandboxLevel::Protect);
        assert_eq!(after(&mut hints, "all is well\n"), 0);
        assert_eq!(after(&mut hints, "a piece: Permission denied"), 0);
        assert_eq!(after(&mut hints, " and the rest\n"), 1);
        assert_eq!(after(&mut hints, "EACCES: permission denied, open '/etc/x'\n"), 0);
        assert_eq!(after(&mut hints, "chown: Operation not permitted\nmkdir: Read-only file system\n"), 1);
        assert_eq!(after(&mut hints, "EPERM EACCES EROFS\n"), 0);
    }

    #[test]
    fn a_hint_names_the_level_that_holds_and_what_allows_more() {
        let hint = |level, bytes: &str| {
            let printed = Printed { bytes: bytes.as_bytes(), is_last: true, max_line: 100 };
            Hints::of(level).after(printed).join("\n")
        };
        let protect = hint(SandboxLevel::Protect, "EROFS");
        assert!(protect.contains("--sandbox protect") && protect.contains("--sandbox-write PATH"), "{protect}");
        let strict = hint(SandboxLevel::Strict, "PermissionError: [Errno 13] Permission denied");
        assert!(strict.contains("--sandbox strict") && strict.contains("--sandbox-read PATH"), "{strict}");
        assert!(hint(SandboxLevel::Strict, "EPERM").contains("--sandbox off"));
        assert_eq!(hint(SandboxLevel::Off, "Permission denied, Operation not permitted"), "");
    }
}
