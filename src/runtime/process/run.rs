//! One run from its start to its last event.

use std::{
    ffi::OsString,
    io,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::unix::pipe, sync::watch, task::spawn_blocking, time::timeout};

use super::{
    Inner, child,
    environment::{Variable, environment},
    group::{Group, Members, Order},
    prepare::{Turn, prepare},
    program::Program,
    spawner::{Job, Leader},
    threads,
};
use crate::{
    domain::{Failure, RunEvent, Stage},
    runtime::{Run, RunEvents, StartSpec, process_table::RunKey, words},
};

/// The supervisor's end of a run.
#[derive(Debug)]
struct ProcessRun {
    orders: watch::Sender<Order>,
    members: Members,
}

impl ProcessRun {
    fn order(&self, order: Order) {
        // A repeated order is carried out again: members may have joined.
        self.orders.send_modify(|current| *current = order.max(*current));
    }
}

impl Run for ProcessRun {
    fn stop(&self) {
        self.order(Order::Stop);
    }

    fn kill(&self) {
        self.order(Order::Kill);
    }

    fn pids(&self) -> Vec<u32> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.iter().filter(|process| process.is_alive().unwrap_or(true)).map(|process| process.pid).collect()
    }
}

impl Drop for ProcessRun {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Begins a run. Its task outlives the handle, until nothing of the run is left.
pub(super) fn start(inner: Arc<Inner>, spec: StartSpec, events: RunEvents) -> impl Run + use<> {
    let (orders, ordered) = watch::channel(Order::Run);
    let members = Members::new(Mutex::default());
    let reporter = Reporter { events, last: Some(interrupted()) };
    tokio::spawn(drive(inner, spec, (reporter, ordered, Arc::clone(&members))));
    ProcessRun { orders, members }
}

fn interrupted() -> RunEvent {
    RunEvent::SpawnFailed(Failure::new(Stage::Start, "the start was interrupted"))
}

/// Passes events on, and sees to it that a last one comes whatever happens.
struct Reporter {
    events: RunEvents,
    /// What is said if this is dropped before its time.
    last: Option<RunEvent>,
}

impl Reporter {
    fn say(&self, event: RunEvent) {
        (self.events)(event);
    }

    fn end(mut self, event: RunEvent) {
        self.last = Some(event);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            (self.events)(last);
        }
    }
}

type Ends = (Reporter, watch::Receiver<Order>, Members);

async fn drive(inner: Arc<Inner>, spec: StartSpec, (mut reporter, mut orders, members): Ends) {
    let prepared = tokio::select! {
        biased;
        // Orders arrive by value: one given before this line counts too.
        _ = orders.wait_for(|order| *order > Order::Run) => return reporter.end(RunEvent::GroupEmptied),
        prepared = prepare(&inner, &spec) => prepared,
    };
    let leader = match prepared {
        Ok(turn) => spawn(&inner, &spec, turn).await,
        Err(failure) => Err(failure),
    };
    let leader = match leader {
        Ok(leader) => leader,
        Err(failure) => return reporter.end(RunEvent::SpawnFailed(failure)),
    };
    reporter.last = Some(RunEvent::GroupEmptied);
    reporter.say(RunEvent::Spawned { pid: leader.record.pid });
    let group = Group::new(&inner, RunKey { plugin: spec.plugin, run: spec.run }, leader, members);
    group.watch(orders, |exit| reporter.say(RunEvent::Exited(exit))).await;
    forget(&inner, &spec).await;
    reporter.end(RunEvent::GroupEmptied);
}

/// Creates the process, with a record before and after.
async fn spawn(inner: &Arc<Inner>, spec: &StartSpec, turn: Turn) -> Result<Leader, Failure> {
    let key = RunKey { plugin: spec.plugin, run: spec.run };
    check_token(spec, key);
    let (maker, made) = (Arc::clone(inner), spec.clone());
    let limit = inner.options.spawn_timeout;
    let late = |_| {
        let message = format!("cannot start {:?}: it is not found within {} s", spec.command, limit.as_secs_f32());
        Failure::new(Stage::Start, message)
    };
    let made = timeout(limit, spawn_blocking(move || command(&maker, &made))).await.map_err(late)?;
    let (command, program, output) = made.map_err(|error| Failure::new(Stage::Start, error.to_string())).flatten()?;
    // That a disk is full is no fault of the plugin's. Without a record the next plugd finds the run by its environment.
    if let Err(error) = record(inner, key, None).await {
        tracing::warn!(plugin = %key.plugin, %error, "cannot write the run record");
    }
    let leader = match threads::spawn(Job { command, key, keeper: inner.keeper.clone() }, limit).await {
        Ok(leader) => leader,
        Err(error) => {
            forget(inner, spec).await;
            return Err(refused(program, error, limit).await);
        }
    };
    (inner.capture)(spec, output);
    if let Err(error) = record(inner, key, Some(&leader)).await {
        tracing::warn!(plugin = %key.plugin, %error, "cannot complete the run record");
    }
    drop(turn);
    Ok(leader)
}

/// Why the program could not be run. The disk may be what is in the way: then the kernel's words must do.
async fn refused(program: Program, error: io::Error, limit: Duration) -> Failure {
    let kernels = Failure::new(Stage::Start, format!("cannot start {}: {}", program.file().display(), words(&error)));
    let told = timeout(limit, spawn_blocking(move || program.refused(&error))).await;
    told.ok().and_then(Result::ok).unwrap_or(kernels)
}

/// What is left of a run is found by its token; a token of another make would hide it.
fn check_token(spec: &StartSpec, key: RunKey) {
    if RunKey::from_url(&spec.plugin.to_string(), &spec.url) != Some(key) {
        tracing::error!(plugin = %spec.plugin, "the token does not begin with the run: strays could not be found");
    }
}

fn command(inner: &Inner, spec: &StartSpec) -> Result<(Command, Program, [pipe::Receiver; 2]), Failure> {
    let install = inner.installations.dir(spec.plugin);
    let path = std::env::var_os("PATH");
    let program = Program::find(&spec.command, &install, path.as_deref(), inner.options.user)?;
    let cannot = |error: io::Error| Failure::new(Stage::Start, format!("cannot make a pipe: {}", words(&error)));
    let (stdout, out) = output_pipe().map_err(cannot)?;
    let (stderr, err) = output_pipe().map_err(cannot)?;
    let mut command = Command::new(program.file());
    command.current_dir(install).stdin(Stdio::null()).stdout(out).stderr(err);
    if let Some(user) = inner.options.user {
        std::os::unix::process::CommandExt::uid(&mut command, user.uid);
        std::os::unix::process::CommandExt::gid(&mut command, user.gid);
    }
    child::isolate(&mut command, inner.options.limits);
    let args = [&spec.command].into_iter().chain(&spec.args).map(OsString::from);
    let variables = environment(std::env::vars_os(), &inner.options.env_allow, spec);
    let has_nul = |_| Failure::new(Stage::Start, "an argument or variable has a NUL character").permanent();
    child::run_exactly(&mut command, args, variables.map(line)).map_err(has_nul)?;
    Ok((command, program, [stdout, stderr]))
}

/// The end that plugd reads, and the one that processes write to.
fn output_pipe() -> io::Result<(pipe::Receiver, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer))
}

/// A variable as a process has it: `NAME=value`.
fn line((mut name, value): Variable) -> OsString {
    name.push("=");
    name.push(value);
    name
}

async fn record(inner: &Arc<Inner>, key: RunKey, leader: Option<&Leader>) -> io::Result<()> {
    let (inner, leader) = (Arc::clone(inner), leader.map(|leader| leader.record));
    spawn_blocking(move || inner.records.write(key, leader)).await?
}

/// Removes the record: nothing of the run is left.
async fn forget(inner: &Arc<Inner>, spec: &StartSpec) {
    let (records, plugin) = (Arc::clone(inner), spec.plugin);
    let removed = spawn_blocking(move || records.records.remove(plugin)).await;
    if let Err(error) = removed.map_err(io::Error::from).flatten() {
        tracing::warn!(%plugin, %error, "cannot remove the run record");
    }
}
