//! How a run gets its process: an init, and what that is to do.

use std::{ffi::OsString, io, sync::Arc, time::Duration};

use tokio::{
    net::unix::pipe,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner,
    environment::{Variable, environment},
    inits::{Idle, idle},
    open_files,
    prepare::{Turn, in_place, turn},
    program::Program,
};
use crate::{
    domain::{
        Failure, RunId, Stage,
        policy::{Limits, User},
    },
    runtime::{
        StartSpec,
        cgroup::{Cgroups, Controllers, RunGroup},
        keeper::{
            Init,
            protocol::{Cgroup, Launch, Order},
        },
        sandbox::Sandbox,
        words,
    },
};

/// A run whose init has its orders.
pub(super) struct Launched {
    pub(super) init: Init,
    /// What its processes print.
    pub(super) output: [pipe::Receiver; 2],
    pub(super) program: Program,
    pub(super) cgroup: Option<RunGroup>,
}

/// A run of which all is there but its process.
pub(super) struct Prepared {
    turn: Turn,
    idle: Idle,
    orders: Orders,
}

/// What an init is to do.
struct Orders {
    launch: Launch,
    program: Program,
    cgroup: Option<RunGroup>,
}

/// Waits for a turn, then gets an init and prepares its orders: neither has to wait for the other. Nothing is left of it if this is
/// dropped, as a stop does: there may be no keeper for long. The control group is removed here and now then.
pub(super) async fn prepare(inner: &Arc<Inner>, spec: &StartSpec) -> Result<Prepared, Failure> {
    let turn = turn(inner, spec).await?;
    let idle = AbortOnDropHandle::new(tokio::spawn(idle(Arc::clone(inner), spec.clone())));
    let (maker, made) = (Arc::clone(inner), spec.clone());
    let orders = in_place(inner, spec, &turn, move |user| what_to_launch(&maker, &made, user)).await??;
    match idle.await.map_err(broken_off).flatten() {
        Ok(idle) => Ok(Prepared { turn, idle, orders }),
        Err(failure) => {
            remove(orders.cgroup).await;
            Err(failure)
        }
    }
}

/// Has an init make the process.
pub(super) async fn launch(inner: &Inner, spec: &StartSpec, prepared: Prepared) -> Result<(Launched, Turn), Failure> {
    let Prepared { turn, idle, orders: Orders { launch, program, cgroup } } = prepared;
    let (Idle { mut init, output, .. }, limit) = (idle, inner.options.spawn_timeout);
    // One that does not take its orders, which may be long, is given up.
    match timeout(limit, init.order(&Order::Start(launch.into()))).await {
        Ok(()) => Ok((Launched { init, output, program, cgroup }, turn)),
        Err(_) => {
            remove(cgroup).await;
            Err(late(&spec.command, "no process is made", limit))
        }
    }
}

/// A thread or task of plugd's own did not come to its end.
fn broken_off(error: JoinError) -> Failure {
    Failure::new(Stage::Start, error.to_string())
}

/// The control group of a run, where this host has them. That there is none keeps no plugin from running.
fn run_group(inner: &Inner, spec: &StartSpec, limits: Limits) -> Option<RunGroup> {
    let made = inner.cgroups.as_ref()?.make(spec.plugin, spec.run, limits);
    made.inspect_err(|error| tell_of_no_group(spec.run, error)).ok()
}

/// Removes the control group of a run, on a thread that may block.
pub(super) async fn remove(cgroup: Option<RunGroup>) {
    let Some(cgroup) = cgroup else { return };
    // Where there is no such thread any more, as in a shutdown, it is dropped here and now.
    let _ = spawn_blocking(move || drop(cgroup)).await;
}

pub(super) fn tell_of_no_group(run: RunId, error: &io::Error) {
    let why = words(error);
    tracing::warn!(
        %run,
        "a run has no control group: its limits hold process by process, that of --limit-cpus not at all: {why}"
    );
}

pub(super) fn late(command: &str, what: &str, limit: Duration) -> Failure {
    Failure::new(Stage::Start, format!("cannot start {command:?}: {what} within {} s", limit.as_secs_f32()))
}

/// What the keeper is to be asked for; the control group of the run is made last. Blocking.
fn what_to_launch(inner: &Inner, spec: &StartSpec, user: Option<User>) -> Result<Orders, Failure> {
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
    Ok(Orders { launch, program, cgroup })
}

/// A variable as a process has it: `NAME=value`.
fn line((mut name, value): Variable) -> OsString {
    name.push("=");
    name.push(value);
    name
}
