//! How a run gets its process: an init, and what that is to do.

use std::{
    ffi::{OsStr, OsString},
    io,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::unix::pipe,
    task::{JoinError, spawn_blocking},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    INHERITED_OPEN_FILES, Inner,
    inits::{Idle, idle},
    prepare::{Turn, in_place, turn},
    program::Program,
};
use crate::{
    domain::{
        Failure, RunId, Stage,
        policy::{Limits, OWN_VARIABLES, User},
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
        open_files: INHERITED_OPEN_FILES.get().map(|limit| (limit.current, limit.maximum)),
    };
    if launch.args.iter().chain(&launch.variables).any(|text| text.as_encoded_bytes().contains(&0)) {
        return Err(Failure::new(Stage::Start, "an argument or variable has a NUL character").permanent());
    }
    let cgroup = run_group(inner, spec, launch.limits);
    launch.cgroup = cgroup.as_ref().map(|made| Cgroup { folder: made.folder().into(), holds: made.controllers() });
    Ok(Orders { launch, program, cgroup })
}

/// A variable and its value.
type Variable = (OsString, OsString);

/// The environment of a plugin: the host's variables that the operator allows, those that the operator gives this plugin, then
/// those of its run; nothing else.
fn environment(
    host: impl Iterator<Item = Variable>,
    allow: &[String],
    spec: &StartSpec,
) -> impl Iterator<Item = Variable> {
    let own = spec.own_variables().map(|(name, value)| (name.into(), value.into()));
    let given = &spec.policy.process.environment;
    let is_ours = |name: &str| given.contains_key(name) || OWN_VARIABLES.contains(&name);
    let is_set = move |name: &OsStr| name.to_str().is_some_and(is_ours);
    let allowed = host.filter(move |(name, _)| !is_set(name) && allow.iter().any(|pattern| is_match(pattern, name)));
    allowed.chain(given.iter().map(|(name, value)| (name.into(), value.expose().into()))).chain(own)
}

fn is_match(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

/// A variable as a process has it: `NAME=value`.
fn line((mut name, value): Variable) -> OsString {
    name.push("=");
    name.push(value);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, PluginId, policy::Policy};

    #[test]
    fn only_allowed_variables_and_the_plugins_own_pass() {
        let mut policy = Policy::default();
        let given =
            [("LC_ALL", "given"), ("KEY", "given")].map(|(name, value)| (name.to_owned(), value.to_owned().into()));
        policy.process.environment.extend(given);
        let spec = StartSpec {
            plugin: PluginId::from_bytes([1; 12]),
            run: RunId::from_bytes([2; 12]),
            command: String::new(),
            args: Vec::new(),
            policy: Arc::new(policy),
            prepare_timeout: Duration::ZERO,
            grace: Duration::ZERO,
            package: Digest([0; 32]),
            url: "ws://h?token=secret".to_owned().into(),
            traceparent: Some("00-1-2-01".to_owned()),
        };
        assert!(!format!("{spec:?}").contains("token=secret"), "{spec:?}");
        let host = ["PATH", "PATHS", "LC_ALL", "LC", "AWS_SECRET", "TRACEPARENT"].map(|name| (name.into(), "v".into()));
        let allow = ["PATH".to_owned(), "LC_*".to_owned(), "TRACEPARENT".to_owned()];
        let variables: Vec<_> = environment(host.into_iter(), &allow, &spec).collect();
        let names: Vec<_> = variables.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        let own = ["STORYDEN_RPC_URL", "PLUGD_RPC_URL", "PLUGD_PLUGIN_ID", "TRACEPARENT"];
        assert_eq!(names, [["PATH", "KEY", "LC_ALL"].as_slice(), &own].concat());
        assert_eq!([&variables[1].1, &variables[2].1], ["given", "given"], "the plugin's own come before the host's");
        assert_eq!(variables[6].1, "00-1-2-01", "plugd's own trace is not the plugin's");
    }
}
