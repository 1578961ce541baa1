//! What a lifecycle is told, in the past tense, what it asks for, in the imperative, and how long things may take.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::domain::{Desired, Digest, RunEvent, RunId};

/// The moment of a step: what a pure function can't find out by itself.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Timestamp,
    /// An id that no run has had, for the run that this step may begin.
    pub fresh: RunId,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// This is committed as what is desired, whatever changed. It comes first after the start of plugd too.
    DesiredChanged(Arc<Desired>),
    /// What [`Effect::GoBack`] asked for could not be committed.
    GoBackFailed,
    /// The plugin was too slow for some events.
    EventsLost {
        count: u64,
    },
    DeletionRequested,
    ShutdownRequested,
    /// A run did something; ignored if it is not the present one.
    Run {
        run: RunId,
        event: RunEvent,
    },
    /// A deadline passed; ignored if it is not one of the present run.
    TimerFired {
        run: RunId,
        timer: Timer,
    },
}

/// What a deadline is for. A plugin has one deadline at a time: each state waits for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// To connect after the spawn.
    Connect,
    /// To connect again, or exit, after a lost connection.
    Reconnect,
    /// To be called stable.
    Stable,
    /// To stop after the stop signal.
    Grace,
    /// To be gone after the kill.
    Kill,
    /// To wait before the next try.
    Backoff,
    /// To wait before going back is tried again.
    GoBack,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Lay out the package and create the process of the present run.
    SpawnProcess,
    /// Send the stop signal to the group, or cancel the spawn.
    SignalGroup,
    KillGroup,
    /// Set the deadline, in place of the one before.
    Arm(Timer, Duration),
    Disarm,
    /// Close the connection, if there is one.
    CloseConnection,
    /// Give the plugin its configuration, unless it has it.
    Configure,
    /// Have the package before the present one desired again: commit that.
    GoBack {
        /// The present package.
        from: Digest,
        /// The one before it.
        to: Digest,
    },
    /// Nothing of the plugin is left: go on with what the stop was for.
    Finish,
}

/// The deadlines of a plugin, and its budget of restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// To connect after the spawn.
    pub connect: Duration,
    /// To connect again, or exit, after a lost connection.
    pub reconnect: Duration,
    /// To answer a ping.
    pub ping: Duration,
    /// To be called stable.
    pub stable: Duration,
    /// From the stop signal to the kill.
    pub grace: Duration,
    /// From the kill to giving up.
    pub kill: Duration,
    /// Before the first restart; doubles with each.
    pub backoff: Duration,
    /// The longest wait before a restart.
    pub max_backoff: Duration,
    /// Before the restart of a plugin that had been stable.
    pub stable_backoff: Duration,
    /// Restarts before the plugin is given up.
    pub max_restarts: u32,
}

#[cfg(test)]
impl Default for Policy {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            reconnect: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            stable: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            kill: Duration::from_secs(5),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            stable_backoff: Duration::from_secs(5),
            max_restarts: 3,
        }
    }
}

impl Policy {
    /// The wait before the restart after this many: 1, 2, 4 … seconds by default (CONTRACT 8.3).
    pub fn backoff_after(&self, restarts: u32) -> Duration {
        let factor = 1_u32.checked_shl(restarts).unwrap_or(u32::MAX);
        self.backoff.saturating_mul(factor).min(self.max_backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum_and_never_overflows() {
        let policy = Policy::default();
        let seconds = |restarts| policy.backoff_after(restarts).as_secs();
        assert_eq!([seconds(0), seconds(1), seconds(2), seconds(5), seconds(6)], [1, 2, 4, 32, 60]);
        assert_eq!(seconds(u32::MAX), 60);
    }
}
