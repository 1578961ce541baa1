//! The init of a run: it makes the plugin's process, adopts what that leaves behind, and ends when nothing of the run is
//! left. It belongs to no session of the plugin's and does nothing else, so that it needs no memory of its own.

use std::{
    io::{self, ErrorKind, PipeReader, Read, Write},
    mem,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group};

use super::{
    apart::HostIds,
    await_any,
    launch::{self, Launched},
    protocol::{Launch, Messages, Order, Report, Step, encode},
    sys, tree,
};
use crate::{
    domain::{Confinement, policy::StopSignal},
    runtime::{cgroup::Membership, sandbox},
};

/// What the keeper hands to an init.
pub(super) struct Descriptors {
    /// To plugd.
    pub(super) control: OwnedFd,
    /// What the processes of the run write to.
    pub(super) output: [OwnedFd; 2],
    /// Its other end is the keeper's: it ends with the keeper.
    pub(super) keeper: OwnedFd,
    /// Locked while anything of this plugd lives.
    pub(super) lock: OwnedFd,
}

/// Is the init of a run, in a process that was forked for that; `is_apart` if it is the first of namespaces of its own.
pub(super) fn run(descriptors: Descriptors, is_apart: bool) -> ! {
    let Descriptors { control, output: [stdout, stderr], keeper, lock } = &descriptors;
    let closed = sys::close_all_but(&[control, stdout, stderr, keeper, lock].map(AsFd::as_fd));
    let outcome = closed.and_then(|()| Init::new(descriptors, is_apart)).and_then(|mut init| {
        let outcome = init.serve();
        // Whatever went wrong, nothing of the run may stay. Until then the control socket and the lock are held: their ends
        // say that nothing is left.
        init.end();
        outcome
    });
    sys::exit(i32::from(outcome.is_err()))
}

/// Whether an init that ended so had ended everything of its run before: one that was killed, or has panicked, had not.
pub(super) fn has_ended_all(status: WaitStatus) -> bool {
    status.exit_status().is_some_and(|code| [0, 1].contains(&code))
}

struct Init {
    control: UnixStream,
    orders: Messages<Order>,
    /// Reports that plugd has not been sent.
    unsent: Vec<u8>,
    output: Option<[OwnedFd; 2]>,
    keeper: OwnedFd,
    child_ends: OwnedFd,
    stop_signal: Signal,
    leader: Option<Leader>,
    is_killing: bool,
    /// The group of the run, if it is in one.
    cgroup: Option<Membership>,
    /// The processes as the host names them, if this is the first of namespaces of its own.
    host: Option<HostIds>,
    /// What came of giving it a `/proc` of its own, told at the start.
    view: io::Result<()>,
    confinement: Confinement,
    /// Held until this process ends.
    _lock: OwnedFd,
}

/// The process that was made for the plugin.
struct Leader {
    /// Absent when it was reaped: its id may mean another then.
    pid: Option<Pid>,
    /// The ids of the init and of the process as the host names them.
    ids: (u32, u32),
    /// Ends when the program runs; says why not otherwise.
    outcome: Option<PipeReader>,
    /// Why it is not in the group that was made for it: the kernel's number.
    outside: Option<i32>,
}

impl Init {
    fn new(descriptors: Descriptors, is_apart: bool) -> io::Result<Self> {
        let host = is_apart.then(HostIds::open).transpose()?;
        // Before there are orders: a run does not wait for it then.
        let view = if is_apart { sandbox::own_proc() } else { Ok(()) };
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let _ = rustix::thread::set_name(c"plugd-init");
        let control = UnixStream::from(descriptors.control);
        control.set_nonblocking(true)?;
        Ok(Self {
            control,
            orders: Messages::new(),
            unsent: Vec::new(),
            output: Some(descriptors.output),
            keeper: descriptors.keeper,
            child_ends: sys::child_ends()?,
            stop_signal: Signal::INT,
            leader: None,
            is_killing: false,
            cgroup: None,
            host,
            view,
            confinement: Confinement::Off,
            _lock: descriptors.lock,
        })
    }

    /// Returns when nothing of the run is left, or when this is to be made so because plugd or the keeper is gone.
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let (has_orders, is_alone, has_outcome) = self.wait()?;
            if is_alone {
                return Ok(());
            }
            if has_outcome {
                self.report_outcome()?;
            }
            if has_orders && !self.take_orders()? {
                return Ok(());
            }
            let is_empty = self.leader.is_some() && self.reap()?;
            if is_empty {
                self.leave_no_group();
                self.report(&Report::Emptied)?;
            }
            self.send_reports()?;
            if is_empty {
                return Ok(());
            }
        }
    }

    /// Kills and reaps until nothing of the run is left.
    fn end(&self) {
        tree::kill_until_empty(|| self.kill_everything());
        self.leave_no_group();
    }

    /// Removes the empty group of the run: plugd does so too, but may be dead.
    fn leave_no_group(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.remove();
        }
    }

    /// Waits until something happens: there are orders, the keeper is gone, the program runs or does not, a child ended.
    fn wait(&self) -> io::Result<(bool, bool, bool)> {
        let [control, keeper, child_ends] =
            [self.control.as_fd(), self.keeper.as_fd(), self.child_ends.as_fd()].map(Some);
        let outcome = self.leader.as_ref().and_then(|leader| leader.outcome.as_ref()).map(AsFd::as_fd);
        let [has_orders, is_alone, has_ended, has_outcome] = await_any([control, keeper, child_ends, outcome])?;
        if has_ended {
            let _ = rustix::io::read(&self.child_ends, &mut [0_u8; 1024]);
        }
        Ok((has_orders, is_alone, has_outcome))
    }

    /// Carries out what plugd orders. False if plugd is gone.
    fn take_orders(&mut self) -> io::Result<bool> {
        let mut piece = [0; 4096];
        loop {
            match self.control.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(len) => self.orders.push(piece.get(..len).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        while let Some(order) = self.orders.next() {
            self.carry_out(order)?;
        }
        Ok(true)
    }

    fn carry_out(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Start(launch) => return self.start(*launch),
            Order::Stop => self.ask_to_stop(),
            Order::Kill => {
                self.is_killing = true;
                self.signal_group(Signal::KILL);
            }
        }
        Ok(())
    }

    fn start(&mut self, launch: Launch) -> io::Result<()> {
        self.stop_signal = signal(launch.stop_signal);
        let output = self.output.take().ok_or(ErrorKind::AlreadyExists)?;
        self.confinement = launch.sandbox.confinement(self.host.is_some());
        self.leader = Some(match self.make_process(launch, output) {
            Ok(Launched { pid, outcome, joined }) => {
                let outside = joined.as_ref().err().map(|error| error.raw_os_error().unwrap_or_default());
                self.cgroup = joined.ok().flatten();
                Leader { pid: Some(pid), ids: self.ids(pid)?, outcome: Some(outcome), outside }
            }
            Err((step, error)) => {
                self.report(&Report::Refused { step, errno: error.raw_os_error().unwrap_or_default() })?;
                Leader { pid: None, ids: (0, 0), outcome: None, outside: None }
            }
        });
        Ok(())
    }

    /// The ids of this process and of the leader as the host names them. To be asked at once: the host tells the leader's
    /// until it is reaped, and it may end at any time.
    fn ids(&self, leader: Pid) -> io::Result<(u32, u32)> {
        let here = (std::process::id(), leader.as_raw_nonzero().get().unsigned_abs());
        self.host.as_ref().map_or(Ok(here), HostIds::of_init_and_leader)
    }

    fn make_process(&mut self, launch: Launch, output: [OwnedFd; 2]) -> Result<Launched, (Step, io::Error)> {
        let has_own_view = self.host.is_some();
        if has_own_view {
            let view = mem::replace(&mut self.view, Ok(()));
            let entered = view.and_then(|()| sandbox::enter(&launch.sandbox, Path::new(&launch.folder)));
            entered.map_err(|error| (Step::View, error))?;
        }
        launch::launch(launch, output, has_own_view).map_err(|error| (Step::Process, error))
    }

    /// The group of the process, while its id can't mean another.
    fn group(&self) -> Option<Pid> {
        self.leader.as_ref()?.pid
    }

    /// Sends the stop signal to everything of the run.
    fn ask_to_stop(&self) {
        // Who left the group is looked for from their parents, which may end at once; but told after them, so that no process
        // sees what it started end before it was told itself.
        let outside = tree::outside(self.group());
        self.signal_group(self.stop_signal);
        for process in outside {
            let _ = process.signal(self.stop_signal);
        }
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group() {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Tells that the program runs, or why not.
    fn report_outcome(&mut self) -> io::Result<()> {
        let Some(leader) = &mut self.leader else { return Ok(()) };
        let Some(outcome) = leader.outcome.take() else { return Ok(()) };
        let report = match (launch::refusal(outcome), leader.pid) {
            (Some(refusal), _) => {
                leader.pid = None;
                refusal
            }
            (None, Some(_)) => {
                let (outside, (init, leader)) = (leader.outside, leader.ids);
                Report::Created { init, leader, confinement: self.confinement, outside }
            }
            (None, None) => return Ok(()),
        };
        self.report(&report)
    }

    /// Reaps who has ended, and kills who is left if that is ordered. True when nobody is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match tree::reap(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.note_end(pid, status)?,
                Ok(None) => break,
                Err(_) => return Ok(true),
            }
        }
        if self.is_killing {
            self.kill_everything();
        }
        Ok(false)
    }

    /// Kills everything of the run: all at once where that can be done, so that nothing can fork away.
    fn kill_everything(&self) {
        if self.host.is_some() {
            return sys::kill_all();
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
        // A process may have left the group, if it was allowed to.
        tree::kill_children(|_| false);
    }

    fn note_end(&mut self, pid: Pid, status: WaitStatus) -> io::Result<()> {
        if self.group() != Some(pid) {
            return Ok(());
        }
        // Its end may be seen before the end of what it says of its program.
        self.report_outcome()?;
        // It had no program to run if its id is gone already.
        match self.leader.as_mut().and_then(|leader| leader.pid.take()) {
            Some(_) => self.report(&self.exited(status)),
            None => Ok(()),
        }
    }

    fn exited(&self, status: WaitStatus) -> Report {
        let (code, signal) = (status.exit_status(), status.terminating_signal());
        let is_killed = signal == Some(Signal::KILL.as_raw());
        let out_of_memory = is_killed && self.cgroup.as_ref().is_some_and(Membership::ran_out_of_memory);
        Report::Exited { code, signal, out_of_memory }
    }

    fn report(&mut self, report: &Report) -> io::Result<()> {
        self.unsent.extend(encode(report)?);
        Ok(())
    }

    /// Says it to plugd, all at once: often the process was the last one of the run. plugd reads until the end, and a run has
    /// a handful of reports: they always fit.
    fn send_reports(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.control.write_all(&self.unsent)?;
            self.unsent.clear();
        }
        Ok(())
    }
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Sigint => Signal::INT,
        StopSignal::Sigterm => Signal::TERM,
        StopSignal::Sigquit => Signal::QUIT,
        StopSignal::Sighup => Signal::HUP,
        StopSignal::Sigusr1 => Signal::USR1,
        StopSignal::Sigusr2 => Signal::USR2,
        StopSignal::Sigkill => Signal::KILL,
    }
}
