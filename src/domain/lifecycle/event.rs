//! What a lifecycle hears, in the past tense, and what it asks for, in the imperative.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{ActiveState, Digest, Exit, Failure, RunId};

/// The moment of a step: what a pure function can't find out by itself.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// An id that no run has had, for the run that this step may begin.
    pub fresh: RunId,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// plugd has started and found the plugin in its store.
    Booted {
        /// The generation that is desired.
        generation: u64,
    },
    /// Another active state is desired, or the same one once more after an error.
    ActivationChanged {
        /// The generation of this change.
        generation: u64,
        /// What is desired now.
        active: ActiveState,
    },
    /// Somebody asked for a restart.
    RestartRequested {
        /// The generation of this change.
        generation: u64,
    },
    /// The package is another one.
    PackageReplaced {
        /// The generation of this change.
        generation: u64,
        /// The package from now on.
        package: Option<Digest>,
    },
    /// The manifest or the token of an external plugin is another one.
    CredentialReplaced {
        /// The generation of this change.
        generation: u64,
    },
    /// Something else that is desired changed, of which the run has nothing to do.
    DesiredAmended {
        /// The generation of this change.
        generation: u64,
    },
    /// The plugin was too slow for some events.
    EventsLost {
        /// How many.
        count: u64,
    },
    /// The plugin broke the protocol.
    ProtocolBroken {
        /// How often.
        count: u64,
        /// What was wrong the last time.
        last: String,
    },
    /// Somebody asked for the plugin to be deleted.
    DeletionRequested,
    /// plugd shuts down.
    ShutdownRequested,
    /// Something happened to a run; ignored if it is not the present one.
    Happened {
        /// The run.
        run: RunId,
        /// What happened to it.
        what: Happening,
    },
}

/// Something that a process, a connection or a timer caused.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// The process was created.
    Spawned {
        /// Its process id.
        pid: u32,
    },
    /// No process was created; nothing runs.
    SpawnFailed(Failure),
    /// The leader of the group is gone; members may live.
    Exited(Exit),
    /// Nothing of the run is left.
    GroupEmptied,
    /// It connected.
    Connected,
    /// Its connection ended.
    Disconnected {
        /// What it did that plugd ended it for, if plugd did.
        fault: Option<String>,
    },
    /// It did not answer a ping in time.
    PongMissed,
    /// It answered a ping.
    PongReceived,
    /// The deadline passed.
    TimerFired(Timer),
    /// The time to die after a kill is over and these processes still live.
    Survived {
        /// Their process ids.
        pids: Vec<u32>,
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
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Lay out the package and create the process of the present run.
    SpawnProcess,
    /// Send the stop signal to the group, or cancel the spawn.
    SignalGroup,
    /// Kill the group.
    KillGroup,
    /// Set the deadline, in place of the one before.
    Arm(Timer, Duration),
    /// Take the deadline away.
    Disarm,
    /// Close the connection.
    CloseConnection(CloseReason),
    /// Nothing of the plugin is left: go on with what the stop was for.
    Finish,
}

/// Why a connection is closed by plugd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The plugin is disabled, deleted, or has to connect anew.
    Closed,
    /// plugd shuts down.
    GoingAway,
}
