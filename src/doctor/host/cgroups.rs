//! Control groups: what runs would have, were plugd started where this is.

use super::Check;
use crate::runtime::cgroup::{Controllers, Outlook};

const REMEDY: &str = "start plugd in a control group that is its own, with `Delegate=cpu memory pids` in its unit, and run this there; \
                      without one, limits mean less: README.md, What plugins may use";

pub(super) fn control_groups() -> Check {
    let subject = "control groups";
    match Outlook::of_this_process() {
        Ok(outlook) if is_enough(&outlook) => Check::ok(subject, words(&outlook)),
        Ok(outlook) => Check::warning(subject, words(&outlook), REMEDY),
        Err(error) => Check::warning(subject, error.to_string(), REMEDY),
    }
}

fn is_enough(outlook: &Outlook) -> bool {
    outlook.can_be_made && lacking(outlook).is_empty()
}

/// What no group of a run would hold.
fn lacking(outlook: &Outlook) -> Vec<&'static str> {
    Controllers::ALL.without(outlook.holds).collect()
}

fn words(outlook: &Outlook) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_outlook() -> Outlook {
        Outlook { group: "/groups/service".into(), can_be_made: true, holds: Controllers::ALL, obstacle: None }
    }

    #[test]
    fn a_group_has_all_that_limits_need_or_says_what_it_lacks() {
        let whole = mk_outlook();
        assert!(is_enough(&whole) && words(&whole).contains("/groups/service"), "{}", words(&whole));
        let obstacle = Some("other processes are in it".to_owned());
        let bare = Outlook { holds: Controllers::default(), obstacle, ..mk_outlook() };
        assert!(!is_enough(&bare));
        let found = words(&bare);
        assert!(found.ends_with("without cpu, memory, pids: other processes are in it"), "{found}");
        let closed = Outlook { can_be_made: false, ..mk_outlook() };
        assert!(!is_enough(&closed) && words(&closed).starts_with("runs have none"));
    }
}
