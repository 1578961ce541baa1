//! plugd died while plugins were being started: of which one?
//!
//! All plugins start together, so a death of plugd is counted for all that were in their start: not stable yet. That alone
//! proves nothing, and a `kill -9` or a power cut is held against none that was stable. So whoever was in its start twice
//! is a suspect, and waits for its turn: at first half of the suspects are tried at a time, and each further death halves
//! that once more, until they are tried one by one. Only one that was tried alone is guilty of the death that followed.
//! One by one from the beginning would find it sooner, but where fifty plugins start together the last of them would wait
//! fifty times the stable time because of two power cuts.
//!
//! Becoming stable, failing for good, a request to start it, and another package begin the count afresh.

use jiff::Timestamp;

use super::{Lifecycle, Moment, Phase};
use crate::domain::{Failure, Plugin, Stage, State};

/// Deaths of plugd in the start of a plugin, one after the other, after which it is not started again by itself; more where
/// several plugins are suspect.
pub const MAX_DEATHS_AT_START: u32 = 3;

/// What a new plugd makes of the deaths of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// plugd did not die in its start.
    Innocent,
    /// plugd died in its start, as it may in anybody's.
    Noted,
    /// It is tried when it is its turn.
    Suspect,
    /// It is not started again by itself.
    Guilty,
}

/// What the record says.
pub(super) fn verdict(plugin: &Plugin) -> Verdict {
    let reported = &plugin.reported;
    if reported.state == State::Error && reported.deaths_at_start >= MAX_DEATHS_AT_START {
        return Verdict::Guilty;
    }
    match deaths(plugin) {
        0 => Verdict::Innocent,
        _ if reported.is_tried_alone => Verdict::Guilty,
        deaths if deaths + 1 >= MAX_DEATHS_AT_START => Verdict::Suspect,
        _ => Verdict::Noted,
    }
}

/// How many suspects are tried at a time.
#[must_use]
pub fn width(plugins: &[Plugin]) -> usize {
    let suspects = || plugins.iter().filter(|plugin| verdict(plugin) == Verdict::Suspect);
    let halvings = suspects().map(|plugin| plugin.reported.deaths_at_start).max().unwrap_or_default();
    suspects().count().checked_shr(halvings).unwrap_or_default().max(1)
}

/// Deaths of plugd in the start of this plugin, with that of the last plugd.
fn deaths(plugin: &Plugin) -> u32 {
    if plugin.was_in_its_start() { plugin.reported.deaths_at_start.saturating_add(1) } else { 0 }
}

impl Lifecycle {
    /// plugd was here before, and may have died of this plugin.
    pub(super) fn launch_unless_deadly(&mut self, moment: Moment) {
        match self.verdict {
            Verdict::Innocent => {
                self.acquit();
                self.launch(moment);
            }
            Verdict::Noted => {
                self.reported.deaths_at_start += 1;
                self.launch(moment);
            }
            Verdict::Suspect => self.await_turn(moment.now),
            Verdict::Guilty => self.convict(moment.now),
        }
    }

    /// The count stays as it is: should plugd die before it is its turn, that was not in its start.
    fn await_turn(&mut self, now: Timestamp) {
        self.forget_run();
        self.clear_failure();
        let deaths = self.reported.deaths_at_start.saturating_add(1);
        self.reported.message = format!(
            "plugd ended {deaths} times while this plugin was being started, so it is started when others have been tried: \
             activate it to start it at once"
        );
        self.enter(now, Phase::Waiting);
    }

    pub(super) fn turn_taken(&mut self, moment: Moment, is_alone: bool) {
        if self.phase != Phase::Waiting {
            return;
        }
        self.reported.deaths_at_start = self.reported.deaths_at_start.saturating_add(1);
        self.reported.is_tried_alone = is_alone;
        self.clear_failure();
        self.launch(moment);
    }

    fn convict(&mut self, now: Timestamp) {
        // An earlier plugd may have found it guilty, in whose record it is in error.
        let deaths = self.reported.deaths_at_start.saturating_add(u32::from(self.reported.state != State::Error));
        let message = format!(
            "plugd ended {deaths} times while this plugin was being started, before it was stable, so it is not started \
             again by itself: mend it, then activate it"
        );
        let failure = Failure::new(Stage::Start, message).with("deaths_at_start", deaths).permanent();
        self.fail(now, failure, false);
        self.reported.deaths_at_start = deaths;
    }

    /// Nothing is held against it any longer.
    pub(super) fn acquit(&mut self) {
        self.reported.deaths_at_start = 0;
        self.reported.is_tried_alone = false;
    }
}
