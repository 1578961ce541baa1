//! Whether what a probe came to is what the sandbox promises.

use super::{
    Check,
    probe::{Answer, Attempt},
};
use crate::domain::{Confinement, SandboxLevel};

/// How plugins are shut in.
pub(super) fn sandbox(confinement: Confinement) -> Check {
    let subject = "sandbox";
    match confinement {
        Confinement::Off => {
            Check::warning(subject, "off: plugins can do what their user can", "--sandbox protect, or strict")
        }
        Confinement::Protect => Check::ok(subject, "protect holds"),
        Confinement::Strict => Check::ok(subject, "strict holds"),
        Confinement::ProtectFilesOnly | Confinement::StrictFilesOnly => Check::warning(
            subject,
            "rules for files hold alone: the host allows no namespaces, so that plugins see other processes, and the names, \
             owners and times of hidden files",
            "run plugd as root, or let its user make namespaces; a container needs more rights for that (as CAP_SYS_ADMIN)",
        ),
    }
}

/// What is said of an attempt; nothing of one that nobody forbids.
pub(super) fn judge(level: SandboxLevel, Answer { attempt, refused }: &Answer) -> Option<Check> {
    let subject = subject(attempt);
    if let Attempt::Program(_) = attempt {
        return Some(match refused {
            None => Check::ok(subject, "plugins can run it"),
            Some(why) => Check::warning(
                subject,
                format!("plugins can't run it: {why}"),
                "allow them what it needs with --sandbox-read, as the folder in which it is installed",
            ),
        });
    }
    if *attempt == Attempt::Connect && level != SandboxLevel::Strict {
        return None;
    }
    Some(match refused {
        Some(why) => Check::ok(subject, format!("held: {why}")),
        None => not_held(level, attempt, subject),
    })
}

fn not_held(level: SandboxLevel, attempt: &Attempt, subject: String) -> Check {
    let found = "not held";
    match attempt {
        _ if level == SandboxLevel::Off => Check::warning(subject, found, "--sandbox protect holds it"),
        Attempt::Secret(_) => Check::warning(
            subject,
            found,
            "move it into the data folder, which plugins can't see, or run them as another user (--plugin-user) who can't read it",
        ),
        Attempt::Signal => Check::warning(subject, found, "it takes namespaces, or Linux 6.12"),
        Attempt::Socket => Check::warning(subject, found, "it takes Linux 6.12"),
        _ => Check::failure(
            subject,
            found,
            "plugins are not shut in as they should be: tell plugd's developers, see SECURITY.md",
        ),
    }
}

/// What a plugin tried.
fn subject(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Token => "read the administrator's token".to_owned(),
        Attempt::Folders => "see what is in plugd's folders".to_owned(),
        Attempt::Write => "write outside of its folder".to_owned(),
        Attempt::Capabilities => "have capabilities".to_owned(),
        Attempt::Mount => "mount a file system".to_owned(),
        Attempt::Environment => "read plugd's environment".to_owned(),
        Attempt::Trace => "trace plugd".to_owned(),
        Attempt::Socket => "connect to an abstract socket".to_owned(),
        Attempt::Connect => "connect to another port".to_owned(),
        Attempt::Secret(what) => format!("read {what}"),
        Attempt::Program(name) => format!("run {name}"),
        Attempt::Signal => "kill plugd".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn outcome(level: SandboxLevel, attempt: Attempt, refused: Option<&str>) -> Option<Outcome> {
        let answer = Answer { attempt, refused: refused.map(str::to_owned) };
        judge(level, &answer).map(|check| check.outcome)
    }

    #[test]
    fn what_should_hold_and_does_not_is_a_failure() {
        use SandboxLevel::{Off, Protect, Strict};
        for attempt in [Attempt::Token, Attempt::Folders, Attempt::Write, Attempt::Trace, Attempt::Mount] {
            assert_eq!(outcome(Protect, attempt.clone(), Some("no")), Some(Outcome::Ok));
            assert_eq!(outcome(Protect, attempt.clone(), None), Some(Outcome::Failure));
            assert_eq!(outcome(Off, attempt, None), Some(Outcome::Warning));
        }
        assert_eq!(outcome(Strict, Attempt::Connect, None), Some(Outcome::Failure));
        assert_eq!(outcome(Protect, Attempt::Connect, None), None, "nobody forbids it");
    }

    #[test]
    fn what_depends_on_the_kernel_or_the_settings_is_a_warning() {
        for attempt in [Attempt::Signal, Attempt::Socket, Attempt::Secret("a key".to_owned())] {
            assert_eq!(outcome(SandboxLevel::Protect, attempt, None), Some(Outcome::Warning));
        }
    }

    #[test]
    fn a_program_that_plugins_may_need_should_run() {
        let program = || Attempt::Program("python3".to_owned());
        assert_eq!(outcome(SandboxLevel::Strict, program(), None), Some(Outcome::Ok));
        assert_eq!(outcome(SandboxLevel::Strict, program(), Some("not found")), Some(Outcome::Warning));
    }
}
