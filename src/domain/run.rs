//! What happens to one run of a supervised plugin, and what is said when it fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Digest, Reason, text::shorten_to_bytes};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// The kernel killed it because there was no memory left. Without a control group of its own it can't be told: then it
    /// is signal 9.
    pub out_of_memory: bool,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(0), _) => f.write_str("process exited cleanly"),
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(_)) if self.out_of_memory => f.write_str("signal: killed, out of memory"),
            (None, Some(signal)) => write!(f, "signal: {}", signal_name(signal)),
            (None, None) => f.write_str("process is gone"),
        }
    }
}

/// The words for a signal that shells and Go use; its number for rare ones.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        24 => "cpu time limit exceeded",
        25 => "file size limit exceeded",
        31 => "bad system call",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// How much plugins are shut in, as the operator sets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// Not at all: they can do what their user can.
    Off,
    /// They write to their own folder and to temporary files only, and can't see plugd's other files.
    #[default]
    Protect,
    /// Besides, they read nothing but the system's programs and libraries and their own folder, and connect over TCP to plugd
    /// only.
    Strict,
}

/// What holds the processes of a run, as far as the host allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// Nothing: they can do what their user can.
    Off,
    /// As `Protect` by rules for files alone, since the host allows no namespaces: that hidden files exist, their owners and
    /// their times can be seen, and so can other processes.
    ProtectFilesOnly,
    /// They see their own folder and none of plugd's, and write there and to temporary files only.
    Protect,
    /// As `Strict`, in the way of `ProtectFilesOnly`.
    StrictFilesOnly,
    /// Besides, they read the system's folders only, and connect to plugd and to the ports of their policy only.
    Strict,
}

/// Where a run is, or was, that is no process of plugd's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// What runs it, in the word of `--runtime-provider`.
    pub provider: String,
    /// What it is called there.
    pub name: String,
    /// The host that it is on, as it is called there; none if that is not known.
    pub host: Option<String>,
}

/// What a run did, its process or its connection.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The process exists.
    Spawned {
        /// Its id, which is also the id of its process group and session; none where it is not on plugd's host.
        pid: Option<u32>,
        /// What holds it, if that is plugd's doing.
        confinement: Option<Confinement>,
        /// Where it is, if not on plugd's host.
        placement: Option<Box<Placement>>,
    },
    /// Nothing runs, and nothing will. The last event.
    SpawnFailed(Failure),
    /// The first process is gone; others that it started may live.
    Exited(Exit),
    /// Something other than the plugin ended the run, or has cut it off; others that it started may live.
    TakenAway(Failure),
    /// Nothing of the run is left. The last event.
    GroupEmptied,
    /// The time to die after a kill is over and these processes still live.
    Survived {
        pids: Vec<u32>,
    },
    Connected,
    /// Its connection ended. This is the last event of each connection.
    Disconnected {
        /// For a person.
        reason: String,
        /// plugd ended it for what the plugin did.
        is_fault: bool,
    },
    /// It did not answer a ping in time. While it is busy with a call this comes once only.
    PongMissed,
    /// It answered a ping, or spoke again after it had missed one.
    PongReceived,
    /// It broke the protocol. This is reported seldom, however often the plugin does it.
    ProtocolBroken {
        /// How often since the last such event.
        count: u64,
        /// What was wrong the last time, for the plugin's author.
        last: String,
    },
}

/// Where in a run something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Laying out the package or creating the process.
    Start,
    /// Waiting for the plugin to connect.
    Connect,
    /// The connection was lost or the plugin stopped answering.
    Link,
    /// The process ended by itself.
    Exit,
    /// Stopping it.
    Stop,
}

impl Stage {
    /// Its name for programs (CONTRACT 8.3).
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connect => "connect",
            Self::Link => "link",
            Self::Exit => "exit",
            Self::Stop => "stop",
        }
    }
}

/// Most bytes of the message of a failure: it is part of every record of its plugin until the next success.
pub const MAX_MESSAGE: usize = 4096;

/// Most ids of processes that a failure names; there may be thousands.
pub const MAX_SURVIVORS: usize = 100;

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub stage: Stage,
    /// For a person: `exit status 42`.
    pub message: String,
    /// What the first process exited with, if it did so by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended the first process, if one did.
    pub signal: Option<i32>,
    /// The kernel ended it because its memory ran out. Only a control group of its own can tell that.
    pub out_of_memory: bool,
    /// Processes that can't be killed, at most [`MAX_SURVIVORS`] of them.
    pub survivors: Vec<u32>,
    /// The error that the failure came of, where there was one.
    pub cause: Option<Reason>,
    /// The package that plugd goes back to because of it.
    pub going_back_to: Option<Digest>,
    /// Trying again can't help.
    pub is_permanent: bool,
    /// Nothing that the plugin did: it does not count against its restarts.
    pub is_from_outside: bool,
    /// Where the run was, or was to be, if not on plugd's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
}

impl Failure {
    /// A failure at this stage in these words, worth another try.
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self {
            stage,
            message: shorten_to_bytes(&message.into(), MAX_MESSAGE),
            exit_code: None,
            signal: None,
            out_of_memory: false,
            survivors: Vec::new(),
            cause: None,
            going_back_to: None,
            is_permanent: false,
            is_from_outside: false,
            placement: None,
        }
    }

    /// The same, but trying again can't help.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self { is_permanent: true, ..self }
    }

    /// The same, but nothing that the plugin did.
    #[must_use]
    pub fn caused_outside(self) -> Self {
        Self { is_from_outside: true, ..self }
    }

    /// The same, of processes that can't be killed.
    #[must_use]
    pub fn with_survivors(self, pids: &[u32]) -> Self {
        Self { survivors: pids.iter().copied().take(MAX_SURVIVORS).collect(), ..self }
    }

    /// The same, because of this error.
    #[must_use]
    pub fn caused_by(self, cause: Reason) -> Self {
        Self { cause: Some(cause), ..self }
    }
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        Self {
            exit_code: exit.code,
            signal: exit.signal,
            out_of_memory: exit.out_of_memory,
            ..Self::new(Stage::Exit, exit.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_says_what_operators_match() {
        let exit = |code, signal| Exit { code, signal, out_of_memory: false }.to_string();
        assert_eq!(exit(Some(42), None), "exit status 42");
        assert_eq!(exit(Some(0), None), "process exited cleanly");
        assert_eq!(exit(None, Some(9)), "signal: killed");
        assert_eq!(exit(None, Some(40)), "signal: 40");
    }

    #[test]
    fn an_end_for_want_of_memory_is_told_from_other_kills() {
        let failure = Failure::from(Exit { code: None, signal: Some(9), out_of_memory: true });
        assert_eq!((failure.message.as_str(), failure.signal), ("signal: killed, out of memory", Some(9)));
        assert!(failure.out_of_memory);
    }
}
