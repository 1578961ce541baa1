//! One run from its start to its last event.

use std::{
    ffi::OsString,
    future, io,
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    net::unix::pipe,
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Inner,
    environment::{Variable, environment},
    open_files,
    prepare::{Prepared, Turn, prepare},
    program::Program,
};
use crate::{
    domain::{
        Exit, Failure, RunEvent, RunId, Stage,
        policy::{Limits, User},
    },
    runtime::{
        Run, RunEvents, StartSpec,
        cgroup::{Cgroups, Controllers, RunGroup},
        keeper::{
            Init,
            protocol::{Cgroup, Launch, Order, Report, Step},
            tree,
        },
        sandbox::Sandbox,
        words,
    },
};

/// What the supervisor wants of a run. Only ever raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Run,
    Stop,
    Kill,
}

/// The supervisor's end of a run.
#[derive(Debug)]
struct ProcessRun {
    wishes: watch::Sender<Wish>,
    init: InitId,
}

/// The id of the run's init, once there is one.
type InitId = Arc<OnceLock<u32>>;

impl ProcessRun {
    fn wish(&self, wish: Wish) {
        // A repeated wish is carried out again: members may have joined.
        self.wishes.send_modify(|current| *current = wish.max(*current));
    }
}

impl Run for ProcessRun {
    fn stop(&self) {
        self.wish(Wish::Stop);
    }

    fn kill(&self) {
        self.wish(Wish::Kill);
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

/// Begins a run. Its task outlives the handle, until nothing of the run is left.
pub(super) fn start(inner: Arc<Inner>, spec: StartSpec, events: RunEvents) -> impl Run + use<> {
    let (wishes, wished) = watch::channel(Wish::Run);
    let init = InitId::default();
    let reporter = Reporter { events: Some(events), last: interrupted() };
    tokio::spawn(drive(inner, spec, (reporter, wished, Arc::clone(&init))));
    ProcessRun { wishes, init }
}

fn interrupted() -> RunEvent {
    RunEvent::SpawnFailed(Failure::new(Stage::Start, "the start was interrupted"))
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

type Ends = (Reporter, watch::Receiver<Wish>, InitId);

async fn drive(inner: Arc<Inner>, spec: StartSpec, (mut reporter, mut wishes, init_id): Ends) {
    let prepared = tokio::select! {
        biased;
        // Wishes arrive by value: one from before this line counts too.
        _ = wishes.wait_for(|wish| *wish > Wish::Run) => return reporter.end(RunEvent::GroupEmptied),
        prepared = prepare(&inner, &spec) => prepared,
    };
    let launched = match prepared {
        Ok(prepared) => launch(&inner, &spec, prepared).await,
        Err(failure) => Err(failure),
    };
    match launched {
        Ok((init, cgroup, starting)) => {
            // Held until the end, whatever the supervisor has been told by then.
            let _place = Arc::clone(&starting.turn.run);
            reporter.last = RunEvent::GroupEmptied;
            let run = spec.run;
            let watch =
                Watch { run, init, init_id, cgroup, starting: Some(starting), wishes, has_exited: false, reporter };
            watch.until_empty().await;
        }
        Err(failure) => reporter.end(RunEvent::SpawnFailed(failure)),
    }
}

/// What is needed until there is a process, or none.
struct Starting {
    /// Given up then: others may start.
    turn: Turn,
    program: Program,
    deadline: Instant,
    /// How long it was until the deadline.
    limit: Duration,
}

/// Asks the keeper for the process.
async fn launch(
    inner: &Arc<Inner>,
    spec: &StartSpec,
    Prepared { turn, user }: Prepared,
) -> Result<(Init, Option<RunGroup>, Starting), Failure> {
    let (maker, made, limit) = (Arc::clone(inner), spec.clone(), inner.options.spawn_timeout);
    let made = timeout(limit, spawn_blocking(move || what_to_launch(&maker, &made, user))).await;
    let made = made.map_err(|_| late(&spec.command, "it is not found", limit))?;
    let (launch, program, cgroup) = made.map_err(|error| Failure::new(Stage::Start, error.to_string())).flatten()?;
    match ask(inner, spec, launch).await {
        Ok(init) => Ok((init, cgroup, Starting { turn, program, deadline: Instant::now() + limit, limit })),
        Err(failure) => {
            remove(cgroup).await;
            Err(failure)
        }
    }
}

async fn ask(inner: &Inner, spec: &StartSpec, launch: Launch) -> Result<Init, Failure> {
    let limit = inner.options.spawn_timeout;
    let cannot = |error: io::Error| Failure::new(Stage::Start, format!("cannot make a process: {}", words(&error)));
    let (stdout, out) = output_pipe().map_err(cannot)?;
    let (stderr, err) = output_pipe().map_err(cannot)?;
    let Some(keeper) = &inner.keeper else {
        return Err(Failure::new(Stage::Start, "this plugd runs no plugins").permanent());
    };
    let asked = timeout(limit, keeper.launch(launch, [out, err])).await;
    let init = asked.map_err(|_| late(&spec.command, keeper.obstacle(), limit))?.map_err(cannot)?;
    (inner.capture)(spec, [stdout, stderr]);
    Ok(init)
}

/// The control group of a run, where this host has them. That there is none keeps no plugin from running.
fn run_group(inner: &Inner, spec: &StartSpec, limits: Limits) -> Option<RunGroup> {
    let made = inner.cgroups.as_ref()?.make(spec.plugin, spec.run, limits);
    made.inspect_err(|error| tell_of_no_group(spec.run, error)).ok()
}

/// Removes it, on a thread that may block.
async fn remove(cgroup: Option<RunGroup>) {
    // Where there is no such thread any more, as in a shutdown, it is dropped here and now.
    let _ = spawn_blocking(move || drop(cgroup)).await;
}

fn tell_of_no_group(run: RunId, error: &io::Error) {
    let why = words(error);
    tracing::warn!(
        %run,
        "a run has no control group: its limits hold process by process, that of --limit-cpus not at all: {why}"
    );
}

fn late(command: &str, what: &str, limit: Duration) -> Failure {
    Failure::new(Stage::Start, format!("cannot start {command:?}: {what} within {} s", limit.as_secs_f32()))
}

/// What the keeper is to be asked for; the control group of the run is made last. Blocking.
fn what_to_launch(
    inner: &Inner,
    spec: &StartSpec,
    user: Option<User>,
) -> Result<(Launch, Program, Option<RunGroup>), Failure> {
    let folder = inner.installations.dir(spec.plugin);
    let policy = &spec.policy.process;
    let options = inner.options.for_plugin(policy).map_err(|error| Failure::new(Stage::Start, error.to_string()))?;
    let program = Program::find(&spec.command, &folder, std::env::var_os("PATH").as_deref(), (user, &options.sandbox))?;
    let holds = inner.cgroups.as_ref().map_or_else(Controllers::default, Cgroups::controllers);
    holds.weaker(policy.limits).for_each(|words| tracing::warn!(plugin = %spec.plugin, "{words}"));
    // A run that is shut in has a `/tmp` of its own, and may write to no other folder for temporary files.
    let to_tmp = |(name, value): Variable| {
        if !options.sandbox.is_off() && name == "TMPDIR" { (name, "/tmp".into()) } else { (name, value) }
    };
    let host = std::env::vars_os().map(to_tmp);
    let variables = environment(host, &options.env_allow, spec).map(line);
    let own_port = spec.url.expose().parse::<url::Url>().ok().and_then(|url| url.port_or_known_default());
    let mut launch = Launch {
        file: program.file().into(),
        args: [&spec.command].into_iter().chain(&spec.args).map(OsString::from).collect(),
        variables: variables.collect(),
        folder: folder.into(),
        user,
        stop_signal: options.stop_signal,
        limits: options.limits,
        cgroup: None,
        sandbox: Sandbox { ports: own_port.into_iter().chain(options.sandbox.ports).collect(), ..options.sandbox },
        open_files: open_files::inherited().map(|limit| (limit.current, limit.maximum)),
    };
    if launch.args.iter().chain(&launch.variables).any(|text| text.as_encoded_bytes().contains(&0)) {
        return Err(Failure::new(Stage::Start, "an argument or variable has a NUL character").permanent());
    }
    let cgroup = run_group(inner, spec, launch.limits);
    launch.cgroup = cgroup.as_ref().map(|made| Cgroup { folder: made.folder().into(), holds: made.controllers() });
    Ok((launch, program, cgroup))
}

/// The end that plugd reads, and the one that processes write to.
fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

/// A variable as a process has it: `NAME=value`.
fn line((mut name, value): Variable) -> OsString {
    name.push("=");
    name.push(value);
    name
}

/// Follows a run that the keeper was asked for, until nothing of it is left.
struct Watch {
    run: RunId,
    init: Init,
    init_id: InitId,
    /// The group of the run, removed when nothing of it is left.
    cgroup: Option<RunGroup>,
    starting: Option<Starting>,
    wishes: watch::Receiver<Wish>,
    has_exited: bool,
    reporter: Reporter,
}

impl Watch {
    async fn until_empty(mut self) {
        // A wish may have come while the keeper was asked.
        self.carry_out_wish().await;
        loop {
            let deadline = self.starting.as_ref().map(|starting| starting.deadline);
            tokio::select! {
                report = self.init.report() => match report {
                    Ok(Some(Report::Emptied) | None) => break,
                    Ok(Some(report)) => self.take(report).await,
                    Err(error) => {
                        tracing::error!(%error, "the init of a run can't be understood; the run is killed");
                        break;
                    }
                },
                // The sender is gone only after it has wished for the end.
                Ok(()) = self.wishes.changed() => self.carry_out_wish().await,
                () = until(deadline) => self.give_up().await,
            }
        }
        self.finish().await;
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
                self.starting = None;
                self.reporter.say(RunEvent::Spawned { pid: leader, confinement });
            }
            Report::Refused { step, errno } => {
                let Some(Starting { program, limit, .. }) = self.starting.take() else { return };
                let failure = refused(program, step, io::Error::from_raw_os_error(errno), limit).await;
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
        let Some(Starting { program, limit, .. }) = self.starting.take() else { return };
        self.reporter.end(RunEvent::SpawnFailed(late(program.command(), "the program is not run", limit)));
        self.init.order(&Order::Kill).await;
    }

    /// Nothing of the run is left, though its init may not have told everything.
    async fn finish(mut self) {
        remove(self.cgroup.take()).await;
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

/// Returns at the deadline; never if there is none.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
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
