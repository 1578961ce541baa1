//! What plugd tells the keeper, a few bytes each, and what plugd and the init of a run say to each other: one JSON value a line,
//! each way, on the run's control socket.
//!
//! The end of the stream says something too: to the init, that plugd is gone; to plugd, that nothing of the run is left.

use std::{collections::VecDeque, ffi::OsString, fmt, io, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    domain::{
        Confinement,
        policy::{Limits, StopSignal, User},
    },
    runtime::{cgroup::Controllers, sandbox::Sandbox},
};

/// Most bytes of a line. The kernel takes 2 MiB of arguments and variables, and JSON spells a byte out in four.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// What plugd tells the keeper, one message of its socket each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    /// To make an init, to which the three descriptors go that come with it. What the init shall do is said on the third, the
    /// control socket of the run.
    Make(Request),
    /// That what runs may go on until this time since the host's boot, and not beyond it.
    GoOnUntil(Duration),
}

/// Which init plugd asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Request {
    /// An init like any process.
    Plain,
    /// An init that is the first process of namespaces of its own, if the host allows that.
    Apart,
}

impl Instruction {
    /// Bytes of the longest: its kind, and a time in nanoseconds.
    pub(super) const LONGEST: usize = 1 + size_of::<u64>();

    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Make(Request::Plain) => vec![b'p'],
            Self::Make(Request::Apart) => vec![b'a'],
            Self::GoOnUntil(time) => {
                let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                [&b"u"[..], &nanoseconds.to_le_bytes()].concat()
            }
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'p'] => Some(Self::Make(Request::Plain)),
            [b'a'] => Some(Self::Make(Request::Apart)),
            [b'u', time @ ..] => {
                let nanoseconds = u64::from_le_bytes(time.try_into().ok()?);
                Some(Self::GoOnUntil(Duration::from_nanos(nanoseconds)))
            }
            _ => None,
        }
    }
}

/// What plugd orders. The first order of a run is `Start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Make the process.
    Start(Box<Launch>),
    /// Send the stop signal to everything of the run.
    Stop,
    /// Kill everything of the run.
    Kill,
}

/// The process to make.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The program's file, an absolute path.
    pub(crate) file: OsString,
    /// Its arguments, the first of which is its name.
    pub(crate) args: Vec<OsString>,
    /// Its environment: `NAME=value`.
    pub(crate) variables: Vec<OsString>,
    /// The folder in which it runs.
    pub(crate) folder: OsString,
    /// User and group; plugd's own when absent.
    pub(crate) user: Option<User>,
    /// What asks it to end.
    pub(crate) stop_signal: StopSignal,
    /// Limits of the run, as far as its control group holds them, and of each process.
    pub(crate) limits: Limits,
    /// The control group that the process is to be in, if one was made for the run.
    pub(crate) cgroup: Option<Cgroup>,
    /// What it can reach.
    pub(crate) sandbox: Sandbox,
    /// Soft and hard limit of open files, where `limits` has none; the keeper's own, which are higher, when absent.
    pub(crate) open_files: Option<(Option<u64>, Option<u64>)>,
}

/// The control group of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    /// Its folder.
    pub(crate) folder: OsString,
    /// What it holds.
    pub(crate) holds: Controllers,
}

impl fmt::Debug for Launch {
    /// Without the environment: the run's token is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("file", &self.file).field("args", &self.args).finish_non_exhaustive()
    }
}

/// What the init reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The process runs its program.
    Created {
        /// The id of the init.
        init: u32,
        /// The id of the process, and of its group and session.
        leader: u32,
        /// What holds it.
        confinement: Confinement,
        /// Why it is not in the group that was made for it, as the kernel's number, if it is not.
        outside: Option<i32>,
    },
    /// There is no process. Nothing but the end follows.
    Refused {
        /// What could not be done.
        step: Step,
        /// The kernel's number of the error.
        errno: i32,
    },
    /// The process has ended; others that it started may live.
    Exited {
        /// The code, if it exited.
        code: Option<i32>,
        /// The signal, if it was killed.
        signal: Option<i32>,
        /// The kernel did that because there was no memory left.
        out_of_memory: bool,
    },
    /// Nothing of the run is left. The last report.
    Emptied,
}

/// A step on the way to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Forking, its session, signals and descriptors.
    Process,
    /// Hiding plugd's folders from it.
    View,
    /// Its limits.
    Limits,
    /// Its user and group.
    User,
    /// Entering its folder.
    Folder,
    /// The rest of its sandbox.
    Sandbox,
    /// Running its program.
    Program,
}

/// As it goes over the socket.
///
/// # Errors
/// It can't be said in JSON.
pub(crate) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The other side's messages, from pieces of any size.
#[derive(Debug)]
pub(crate) struct Messages<T> {
    unfinished: Vec<u8>,
    whole: VecDeque<T>,
}

impl<T: DeserializeOwned> Messages<T> {
    pub(crate) fn new() -> Self {
        Self { unfinished: Vec::new(), whole: VecDeque::new() }
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// It is not what this side understands.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut lines = piece.split_inclusive(|byte| *byte == b'\n');
        lines.try_for_each(|part| self.push_part(part))
    }

    fn push_part(&mut self, part: &[u8]) -> io::Result<()> {
        if self.unfinished.len() + part.len() > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        self.unfinished.extend_from_slice(part);
        if part.ends_with(b"\n") {
            self.whole.push_back(serde_json::from_slice(&self.unfinished)?);
            self.unfinished.clear();
        }
        Ok(())
    }

    /// The next message that is there.
    pub(crate) fn next(&mut self) -> Option<T> {
        self.whole.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn mk_launch() -> Launch {
        Launch {
            file: "/bin/sh".into(),
            args: vec!["sh".into(), OsString::from_vec(vec![0xff, b'\n'])],
            variables: vec!["A=b".into()],
            folder: "/".into(),
            user: Some(User { uid: 1, gid: 2 }),
            stop_signal: StopSignal::Sigint,
            limits: Limits { open_files: Some(9), ..Limits::default() },
            cgroup: Some(Cgroup { folder: "/g".into(), holds: Controllers { memory: true, ..Controllers::default() } }),
            sandbox: Sandbox::default(),
            open_files: Some((Some(1), None)),
        }
    }

    #[test]
    fn instructions_arrive_as_they_were_and_nothing_else_is_one() {
        let sent = [
            Instruction::Make(Request::Plain),
            Instruction::Make(Request::Apart),
            Instruction::GoOnUntil(Duration::from_nanos(u64::MAX)),
            Instruction::GoOnUntil(Duration::ZERO),
        ];
        for instruction in sent {
            let bytes = instruction.to_bytes();
            assert!(bytes.len() <= Instruction::LONGEST);
            assert_eq!(Instruction::from_bytes(&bytes), Some(instruction));
        }
        for nonsense in [&b""[..], b"x", b"pp", b"u", b"u1234567", b"u123456789"] {
            assert_eq!(Instruction::from_bytes(nonsense), None);
        }
    }

    #[test]
    fn orders_arrive_as_they_were_whatever_the_pieces() {
        let sent = [Order::Start(mk_launch().into()), Order::Stop, Order::Kill];
        let bytes: Vec<u8> = sent.iter().flat_map(|order| encode(order).unwrap()).collect();
        for size in [1, 7, bytes.len()] {
            let mut orders = Messages::new();
            bytes.chunks(size).for_each(|piece| orders.push(piece).unwrap());
            let received: Vec<Order> = std::iter::from_fn(|| orders.next()).collect();
            assert_eq!(received, sent, "pieces of {size}");
        }
    }

    #[test]
    fn reports_arrive_as_they_were() {
        let sent = [
            Report::Created { init: 1, leader: 2, confinement: Confinement::Protect, outside: Some(2) },
            Report::Refused { step: Step::User, errno: 1 },
            Report::Exited { code: None, signal: Some(9), out_of_memory: true },
            Report::Emptied,
        ];
        let mut reports = Messages::new();
        sent.iter().for_each(|report| reports.push(&encode(report).unwrap()).unwrap());
        let received: Vec<Report> = std::iter::from_fn(|| reports.next()).collect();
        assert_eq!(received, sent);
    }

    #[test]
    fn nonsense_and_endless_lines_are_refused() {
        assert!(Messages::<Order>::new().push(b"nonsense\n").is_err());
        assert!(Messages::<Order>::new().push(b"\"fly\"\n").is_err());
        let mut endless = Messages::<Order>::new();
        let piece = vec![b'x'; MAX_LINE / 4];
        (0..4).for_each(|_| endless.push(&piece).unwrap());
        assert!(endless.push(b"x").is_err());
    }
}
