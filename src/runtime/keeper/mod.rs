//! The keeper: the parent of all plugin processes. plugd itself never forks.
//!
//! ```text
//! plugd ──(three descriptors)──► keeper ──fork──► init ──fork, exec──► plugin ──► whatever it starts
//!   ▲                                              │
//!   └───────── orders and reports of a run ────────┘
//! ```
//!
//! The keeper makes an *init* for each run, which makes the plugin's process and adopts whatever loses its parent: what
//! belongs to a run is a tree in the kernel, whatever session, group or environment a process chose. One init more is mostly
//! there: the next run's, which waits for its orders (`runtime::process::inits`). Nothing of a run outlives those that look
//! after it:
//!
//! - plugd dies: the sockets to it close, and each init kills what it has.
//! - The keeper dies: the pipe from it closes, and each init kills what it has. plugd starts another keeper.
//! - An init dies: what it had comes to the keeper, which kills it.
//! - The keeper is two processes. The first only waits for the second, which does the work, and kills what that leaves:
//!   so the same holds when a keeper dies together with an init.
//! - plugd is frozen: if it has once said until when what it runs may go on, and that time passes, the keeper ends
//!   (`switch`). Where plugd says nothing of the kind, nothing ends.
//!
//! All of them, and plugd, hold a lock on a file in the data folder (`client`). The next plugd starts nothing before it has that lock:
//! nothing of the earlier one lives then. No process id is written to a disk, and none is read from one.
//!
//! None of them, and not plugd, is dumpable: a process of the same user can't read their memory and environment, take over
//! their descriptors or trace them. Programs that they run are dumpable again.

mod apart;
mod client;
mod init;
mod inits;
mod launch;
pub(crate) mod protocol;
mod switch;
mod sys;
#[cfg(test)]
mod tests;
pub(super) mod tree;

use std::{
    collections::HashMap,
    io::{self, IoSliceMut, PipeReader, PipeWriter, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
    io::{Errno, fcntl_dupfd_cloexec},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::{
        DumpableBehavior, Pid, WaitOptions, getpid, set_child_subreaper, set_dumpable_behavior, setsid, waitpid,
    },
};

use self::{
    init::Descriptors,
    protocol::{Instruction, Report, Request, Step},
    switch::Switch,
    sys::Fork,
};

pub(super) use client::Keeper;
pub use client::adopt_orphans;
pub(super) use inits::{Init, Inits};
pub use switch::KILL_MARGIN;
pub use sys::{hear_signals, is_clock_synchronized, trace};

/// The one argument with which plugd starts itself as a keeper. Its stdin is the socket to plugd, its stdout the lock.
pub const ARGUMENT: &str = "keeper";

/// Descriptors that come with a request for an init: stdout, stderr, and the control socket of the run.
const DESCRIPTORS: usize = 3;

/// Is the keeper until plugd is gone and nothing that it started is left. To be called while this process has one thread.
///
/// # Errors
/// What this host lacks.
pub fn run() -> io::Result<()> {
    sys::block_signals();
    sys::reset_signals();
    close_to_others()?;
    // So that nothing that a terminal or a shell does to plugd's session reaches it. Refused where it leads a group already.
    let _ = setsid();
    rustix::process::chdir("/")?;
    set_child_subreaper(Some(getpid()))?;
    tree::check()?;
    let (plugd, lock) = (take(rustix::stdio::stdin())?, take(rustix::stdio::stdout())?);
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    drop(nothing);
    sys::close_all_but(&[plugd.as_fd(), lock.as_fd()])?;
    let (first, lives) = io::pipe()?;
    match sys::fork()? {
        Fork::Parent(second) => {
            drop((plugd, first));
            // What the second leaves when it dies becomes this process's.
            waitpid(Some(second), WaitOptions::empty())?;
            tree::end_children();
            drop((lives, lock));
            Ok(())
        }
        Fork::Child => {
            drop(lives);
            set_child_subreaper(Some(getpid()))?;
            let mut worker = Worker::new(plugd, first, lock)?;
            let outcome = worker.serve();
            worker.end();
            outcome
        }
    }
}

/// Keeps other processes of the same user out of this one and of those that are forked from it, until they run another program.
///
/// # Errors
/// The kernel refuses it, which none does that plugd runs on.
pub fn close_to_others() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// This descriptor under a number of its own, so that its first number can mean something else.
fn take(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(descriptor, 3)?)
}

/// Waits until one of these can be read, or its other end is gone; says which. What is absent never is.
fn await_any<const N: usize>(watched: [Option<BorrowedFd<'_>>; N]) -> io::Result<[bool; N]> {
    let mut polled: Vec<_> = watched.iter().flatten().map(|one| PollFd::new(one, PollFlags::IN)).collect();
    match poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = polled.iter().map(|one| !one.revents().is_empty());
    Ok(watched.map(|one| one.is_some() && ready.next().unwrap_or_default()))
}

/// The second process of the keeper.
struct Worker {
    plugd: UnixStream,
    /// Ends with the first process.
    first: PipeReader,
    lock: OwnedFd,
    child_ends: OwnedFd,
    /// Every init has the end for reading, which closes with this process.
    lives: (PipeReader, PipeWriter),
    /// The control sockets of the runs whose inits live. plugd sees the end of one when nobody has it any more.
    runs: HashMap<Pid, OwnedFd>,
    /// Those of the runs whose inits were killed and may have left something.
    ending: Vec<OwnedFd>,
    /// Whether this host lets a run be apart, once that was tried.
    can_be_apart: Option<bool>,
    /// Tells when what runs may not go on, once plugd has said when that is.
    switch: Option<Switch>,
}

impl Worker {
    fn new(plugd: OwnedFd, first: PipeReader, lock: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            plugd: plugd.into(),
            first,
            lock,
            child_ends: sys::child_ends()?,
            lives: io::pipe()?,
            runs: HashMap::new(),
            ending: Vec::new(),
            can_be_apart: None,
            switch: None,
        })
    }

    /// Makes inits and reaps them, until plugd or the first process is gone, or the time is over that plugd gave.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let [plugd, first, child_ends] =
                [self.plugd.as_fd(), self.first.as_fd(), self.child_ends.as_fd()].map(Some);
            let switch = self.switch.as_ref().map(AsFd::as_fd);
            // There is an instruction, the first process is gone, a child has ended, what runs may not go on.
            let [has_instruction, is_alone, has_ended, is_over] = await_any([plugd, first, child_ends, switch])?;
            if has_ended {
                let _ = rustix::io::read(&self.child_ends, &mut [0_u8; 1024]);
                self.reap();
            }
            // An instruction that comes in the same moment comes too late.
            if is_alone || is_over || has_instruction && !self.take_instruction()? {
                return Ok(());
            }
        }
    }

    /// Has the inits end what they have, and waits for that.
    fn end(self) {
        let Self { lives: (_, lives), lock, runs, ending, .. } = self;
        drop(lives);
        tree::end_children();
        // Their ends say that nothing is left.
        drop((lock, runs, ending));
    }

    /// Does what plugd says. False if plugd is gone.
    fn take_instruction(&mut self) -> io::Result<bool> {
        let mut bytes = [0; Instruction::LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut descriptors = RecvAncillaryBuffer::new(&mut space);
        let message = &mut [IoSliceMut::new(&mut bytes)];
        let received = match recvmsg(&self.plugd, message, &mut descriptors, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => return Ok(true),
            received => received?,
        };
        let rights = descriptors.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let mut rights = rights.flatten();
        match Instruction::from_bytes(bytes.get(..received.bytes).unwrap_or_default()) {
            Some(Instruction::Make(request)) => {
                // One that came without its descriptors, since there are too many, ends with its control socket.
                if let (Some(stdout), Some(stderr), Some(control)) = (rights.next(), rights.next(), rights.next()) {
                    self.make_init(request, [stdout, stderr], control);
                }
            }
            Some(Instruction::GoOnUntil(time)) => self.go_on_until(time)?,
            None => {}
        }
        Ok(received.bytes > 0)
    }

    /// # Errors
    /// There is no timer: what runs can't be ended in time, so it may not go on at all.
    fn go_on_until(&mut self, time: Duration) -> io::Result<()> {
        let switch = match self.switch.take() {
            Some(switch) => switch,
            None => Switch::new()?,
        };
        self.switch.insert(switch).put_off(time)
    }

    fn make_init(&mut self, request: Request, output: [OwnedFd; 2], control: OwnedFd) {
        let is_apart = request == Request::Apart && *self.can_be_apart.get_or_insert_with(apart::is_possible);
        match self.fork_init(is_apart, output, &control) {
            Ok(init) => drop(self.runs.insert(init, control)),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or_default();
                let refusal = protocol::encode(&Report::Refused { step: Step::Process, errno });
                // If plugd does not take it, it sees the end of the socket.
                let _ = refusal.and_then(|line| UnixStream::from(control).write_all(&line));
            }
        }
    }

    fn fork_init(&self, is_apart: bool, output: [OwnedFd; 2], control: &OwnedFd) -> io::Result<Pid> {
        let (keeper, lock, control) = (self.lives.0.try_clone()?, self.lock.try_clone()?, control.try_clone()?);
        let descriptors = Descriptors { control, output, keeper: keeper.into(), lock };
        match if is_apart { apart::fork()? } else { sys::fork()? } {
            Fork::Parent(init) => Ok(init),
            Fork::Child => init::run(descriptors, is_apart),
        }
    }

    /// Reaps inits, and kills what they left.
    fn reap(&mut self) {
        let mut is_empty = false;
        loop {
            match tree::reap(WaitOptions::NOHANG) {
                // One that ended by itself has left nothing, so that nobody has to look at all that live.
                Ok(Some((pid, status))) => {
                    self.ending.extend(self.runs.remove(&pid).filter(|_| !init::has_ended_all(status)));
                }
                Ok(None) => break,
                Err(_) => {
                    is_empty = true;
                    break;
                }
            }
        }
        if !is_empty && !self.ending.is_empty() {
            is_empty = !tree::kill_children(|child| self.runs.contains_key(&child));
        }
        if is_empty {
            self.ending.clear();
        }
    }
}
