//! What a lifecycle is told, in the past tense, what it asks for, in the imperative.

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
    /// Hear what the present run does, which an earlier plugd began.
    TakeOverRun,
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
