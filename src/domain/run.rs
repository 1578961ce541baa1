//! What happens to one run of a supervised plugin, and what is said when it fails.

use std::fmt;

use serde_json::{Map, Value, json};

use super::text::shorten_to_bytes;

/// How a process ended. Whether memory ran out can't be told without a cgroup of its own: then it is signal 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(0), _) => f.write_str("process exited cleanly"),
            (Some(code), _) => write!(f, "exit status {code}"),
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

/// What a run did, its process or its connection.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The process exists.
    Spawned {
        /// Its id, which is also the id of its process group and session.
        pid: u32,
    },
    /// Nothing runs, and nothing will. The last event.
    SpawnFailed(Failure),
    /// The first process is gone; others that it started may live.
    Exited(Exit),
    /// Nothing of the run is left. The last event.
    GroupEmptied,
    /// The time to die after a kill is over and these processes still live.
    Survived {
        pids: Vec<u32>,
    },
    Connected,
    /// Its connection ended. Comes exactly once for each, and last.
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
    /// It broke the protocol. Comes seldom, whatever the plugin does.
    ProtocolBroken {
        /// How often since the last such event.
        count: u64,
        /// What was wrong the last time, for the plugin's author.
        last: String,
    },
}

/// Where in a run something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connect => "connect",
            Self::Link => "link",
            Self::Exit => "exit",
            Self::Stop => "stop",
        }
    }
}

/// Most bytes of each text of a failure: it is part of every record of its plugin until the next success.
pub const MAX_TEXT: usize = 4096;

/// Key in the details of a failure: the name of the [`super::Reason`] that caused it, where there is one.
pub const CAUSE: &str = "cause";

/// Why a run failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// For a person: `exit status 42`.
    pub message: String,
    /// For a program (CONTRACT 8.3).
    pub details: Map<String, Value>,
    /// Trying again can't help.
    pub is_permanent: bool,
}

impl Failure {
    /// A failure at this stage in these words, worth another try.
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        let message = shorten_to_bytes(&message.into(), MAX_TEXT);
        let mut details = Map::new();
        details.insert("runtime_provider".into(), json!("local"));
        details.insert("stage".into(), json!(stage.name()));
        details.insert("error".into(), json!(message));
        Self { message, details, is_permanent: false }
    }

    /// The same, but trying again can't help.
    pub fn permanent(self) -> Self {
        Self { is_permanent: true, ..self }
    }

    /// The same with one more detail.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = match value.into() {
            Value::String(text) => Value::String(shorten_to_bytes(&text, MAX_TEXT)),
            value => value,
        };
        self.details.insert(key.to_owned(), value);
        self
    }
}

impl From<Exit> for Failure {
    fn from(exit: Exit) -> Self {
        let failure = Self::new(Stage::Exit, exit.to_string()).with("exit_code", exit.code.unwrap_or(-1));
        match exit.signal {
            Some(signal) => failure.with("signal", signal),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_says_what_operators_match() {
        let exit = |code, signal| Exit { code, signal }.to_string();
        assert_eq!(exit(Some(42), None), "exit status 42");
        assert_eq!(exit(Some(0), None), "process exited cleanly");
        assert_eq!(exit(None, Some(9)), "signal: killed");
        assert_eq!(exit(None, Some(40)), "signal: 40");
    }

    #[test]
    fn a_signal_has_exit_code_minus_one() {
        let failure = Failure::from(Exit { code: None, signal: Some(9) });
        assert_eq!(failure.details["exit_code"], -1);
        assert_eq!(failure.details["stage"], "exit");
    }
}
