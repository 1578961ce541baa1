//! One run from its start to its last event.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::OptionFuture;
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Inner, inits,
    launch::{Launched, late, launch, prepare, remove, tell_of_no_group},
    prepare::Turn,
    program::Program,
};
use crate::{
    domain::{Exit, Failure, RunEvent, RunId, Stage},
    runtime::{
        Run, RunEvents, StartSpec, Wish,
        cgroup::RunGroup,
        keeper::{
            Init, Keeper,
            protocol::{Order, Report, Step},
            tree,
        },
        usage::{Sampled, Source},
        words,
    },
};

/// The supervisor's end of a run.
#[derive(Debug)]
struct ProcessRun {
    wishes: watch::Sender<Wish>,
    init: InitId,
}

/// The id of the run's init, once there is one.
type InitId = Arc<OnceLock<u32>>;

impl Run for ProcessRun {
    fn stop(&self) {
        Wish::Stop.tell(&self.wishes);
    }

    fn kill(&self) {
        Wish::Kill.tell(&self.wishes);
    }

    fn pids(&self) -> Vec<u32> {
        self.init.get().map(|init| tree::descendants(*init)).unwrap_or_default()
    }
}

impl Drop for ProcessRun {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What all runs share, and the keeper: without that all of them would end.
type Held = (Arc<Inner>, Option<Arc<Keeper>>);

/// Begins a run. Its task outlives the handle, until nothing of the run is left.
pub(super) fn start(shared: Held, spec: StartSpec, events: RunEvents) -> impl Run + use<> {
    let (wishes, wished) = watch::channel(Wish::Run);
    let init = InitId::default();
    let interrupted = Failure::new(Stage::Start, "the start was interrupted");
    let reporter = Reporter { events: Some(events), last: RunEvent::SpawnFailed(interrupted) };
    tokio::spawn(drive(shared, spec, reporter, (wished, Arc::clone(&init))));
    ProcessRun { wishes, init }
}

/// Passes events on, and sees to it that a last one comes whatever happens.
struct Reporter {
    /// Absent after the last event.
    events: Option<RunEvents>,
    /// What is said if this is dropped before its time.
    last: RunEvent,
}

impl Reporter {
    fn say(&self, event: RunEvent) {
        if let Some(events) = &self.events {
            events(event);
        }
    }

    fn end(&mut self, event: RunEvent) {
        if let Some(events) = self.events.take() {
            events(event);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.end(self.last.clone());
    }
}

async fn drive(
    (inner, _keeper): Held,
    spec: StartSpec,
    mut reporter: Reporter,
    (mut wishes, init_id): (watch::Receiver<Wish>, InitId),
) {
    let prepared = tokio::select! {
        biased;
        // Wishes arrive by value: one from before this line counts too.
        _ = wishes.wait_for(|wish| *wish > Wish::Run) => return reporter.end(RunEvent::GroupEmptied),
        // In a box of its own, as is the next: what is only needed until there is a process is not to be kept as long as it.
        prepared = Box::pin(prepare(&inner, &spec)) => prepared,
    };
    let launched = match prepared {
        Ok(prepared) => Box::pin(launch(&inner, &spec, prepared)).await,
        Err(failure) => Err(failure),
    };
    match launched {
        Ok((Launched { init, output, program, cgroup }, turn)) => {
            (inner.capture)(&spec, output);
            // Held until the end, whatever the supervisor has been told by then.
            let _place = Arc::clone(&turn.run);
            reporter.last = RunEvent::GroupEmptied;
            let (run, deadline) = (spec.run, Instant::now() + inner.options.spawn_timeout);
            let starting = Some(Starting { _turn: turn, inner, spec, program, deadline });
            let (usage, has_exited) = (None, false);
            let watch = Watch { run, init, init_id, cgroup, usage, starting, wishes, has_exited, reporter };
            watch.until_empty().await;
        }
        Err(failure) => reporter.end(RunEvent::SpawnFailed(failure)),
    }
}

/// What is needed until there is a process, or none.
struct Starting {
    /// Given up then: others may start.
    _turn: Turn,
    inner: Arc<Inner>,
    spec: StartSpec,
    program: Program,
    deadline: Instant,
}

/// Follows a run that the keeper was asked for, until nothing of it is left.
struct Watch {
    run: RunId,
    init: Init,
    init_id: InitId,
    /// The group of the run, removed when nothing of it is left.
    cgroup: Option<RunGroup>,
    /// Has what it uses sampled, once there is a process.
    usage: Option<Sampled>,
    starting: Option<Starting>,
    wishes: watch::Receiver<Wish>,
    has_exited: bool,
    reporter: Reporter,
}

impl Watch {
    async fn until_empty(mut self) {
        // A wish may have come while the keeper was asked.
        self.carry_out_wish().await;
        let has_told = loop {
            let deadline = self.starting.as_ref().map(|starting| starting.deadline);
            tokio::select! {
                report = self.init.report() => match report {
                    Ok(Some(Report::Emptied)) => break true,
                    Ok(None) => break false,
                    Ok(Some(report)) => self.take(report).await,
                    Err(error) => {
                        tracing::error!(%error, "the init of a run can't be understood; the run is killed");
                        break false;
                    }
                },
                // The sender is gone only after it has wished for the end.
                Ok(()) = self.wishes.changed() => self.carry_out_wish().await,
                Some(()) = OptionFuture::from(deadline.map(sleep_until)) => self.give_up().await,
            }
        };
        self.finish(has_told).await;
    }

    async fn carry_out_wish(&mut self) {
        let order = match *self.wishes.borrow_and_update() {
            Wish::Run => return,
            Wish::Stop => Order::Stop,
            Wish::Kill => Order::Kill,
        };
        self.init.order(&order).await;
        // An init that was killed takes no orders, and what it left may fork faster than the keeper kills.
        if let (Order::Kill, Some(cgroup)) = (order, &self.cgroup) {
            cgroup.kill();
        }
    }

    async fn take(&mut self, report: Report) {
        match report {
            Report::Created { init, leader, confinement, outside } => {
                if let Some(errno) = outside {
                    tell_of_no_group(self.run, &io::Error::from_raw_os_error(errno));
                }
                let _ = self.init_id.set(init);
                let started = self.starting.take();
                self.reporter.say(RunEvent::Spawned {
                    pid: Some(leader),
                    confinement: Some(confinement),
                    placement: None,
                });
                if let Some(Starting { inner, spec, .. }) = started {
                    let group = self.cgroup.as_ref().filter(|_| outside.is_none());
                    let group = group.map(|group| group.folder().to_owned());
                    self.usage = Some(inner.usages.sample(self.run, Source { init, group }));
                    // The program has work to do by itself now: none waits while another init is made.
                    inits::keep_another(inner, &spec);
                }
            }
            Report::Refused { step, errno } => {
                let Some(Starting { program, inner, .. }) = self.starting.take() else { return };
                let (error, limit) = (io::Error::from_raw_os_error(errno), inner.options.spawn_timeout);
                let failure = refused(program, step, error, limit).await;
                self.reporter.end(RunEvent::SpawnFailed(failure));
            }
            Report::Exited { code, signal, out_of_memory } => self.exited(Exit { code, signal, out_of_memory }),
            Report::Emptied => {}
        }
    }

    fn exited(&mut self, exit: Exit) {
        self.has_exited = true;
        self.reporter.say(RunEvent::Exited(exit));
    }

    /// The program did not start in time. What may still come of it is killed.
    async fn give_up(&mut self) {
        let Some(Starting { program, inner, .. }) = self.starting.take() else { return };
        let failure = late(program.command(), "the program is not run", inner.options.spawn_timeout);
        self.reporter.end(RunEvent::SpawnFailed(failure));
        self.init.order(&Order::Kill).await;
    }

    /// Nothing of the run is left, as its init has told; or that has ended without a word, and may have left something in the
    /// run's group.
    async fn finish(mut self, has_told: bool) {
        let cgroup = self.cgroup.take();
        drop(self.usage.take());
        if has_told {
            self.tell_end();
            remove(cgroup).await;
        } else {
            remove(cgroup).await;
            self.tell_end();
        }
    }

    fn tell_end(mut self) {
        if self.starting.is_some() && *self.wishes.borrow() == Wish::Run {
            let failure = Failure::new(Stage::Start, "the keeper of plugin processes ended");
            return self.reporter.end(RunEvent::SpawnFailed(failure));
        }
        if self.starting.is_none() && !self.has_exited {
            self.exited(Exit { code: None, signal: None, out_of_memory: false });
        }
        self.reporter.end(RunEvent::GroupEmptied);
    }
}

/// Why there is no process. The disk may be what is in the way: then the kernel's words must do.
async fn refused(program: Program, step: Step, error: io::Error, limit: Duration) -> Failure {
    let file = program.file().display();
    let kernels = match step {
        Step::Program | Step::Folder => format!("cannot start {file}: {}", words(&error)),
        Step::Process => format!("cannot make a process for {file}: {}", words(&error)),
        Step::View => format!("cannot hide plugd's folders from {file}: {}", words(&error)),
        Step::Sandbox => format!(
            "cannot shut {file} in: {}; where the host lacks Landlock or seccomp, plugins run with `--sandbox off` only",
            words(&error)
        ),
        Step::Limits => format!("cannot limit the process of {file}: {}", words(&error)),
        Step::User => format!("cannot run {file} as another user: {}", words(&error)),
    };
    let kernels = Failure::new(Stage::Start, kernels);
    if !matches!(step, Step::Program | Step::Folder) {
        return kernels;
    }
    let told = timeout(limit, spawn_blocking(move || program.refused(&error))).await;
    told.ok().and_then(Result::ok).unwrap_or(kernels)
}
