//! An external plugin under development: registered, run here, and run again when a file changes.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{Session, changes::Changes, deploy::installed, manifest, trail};
use crate::{
    api::v1::{Plugin, PluginMode},
    cli::{
        external::{cycle_token, read_manifest, register, rpc_url, update_manifest},
        failure::Failure,
    },
};

/// How long the command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// A command that runs, and the group of everything that it started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

/// Runs a command as the plugin of the session's folder, again after each change.
///
/// # Errors
/// Nothing can be registered or run to begin with. What fails later is printed, and the next change is another chance.
pub(super) async fn run(session: &Session, command: &[String], changes: &mut Changes) -> Result<(), Failure> {
    let plugin = enroll(session).await?;
    let _trail = trail::states(session, vec![plugin.id.clone()]);
    session.say(&format!("{} is registered; state changes follow", plugin.id));
    let mut running = Some(start(session, &plugin, command).await?);
    while wait(session, &mut running, changes).await? {
        stop(running.take()).await?;
        session.say("a file changed: starting anew");
        match again(session, command).await {
            Ok(next) => running = Some(next),
            Err(failure) => session.complain(&failure),
        }
    }
    stop(running).await
}

async fn again(session: &Session, command: &[String]) -> Result<Running, Failure> {
    start(session, &enroll(session).await?, command).await
}

/// Registers the plugin, or brings its manifest up to date.
async fn enroll(session: &Session) -> Result<Plugin, Failure> {
    let manifest = read_manifest(&manifest(&session.dir))?;
    match installed(session, PluginMode::External).await? {
        Some(plugin) => update_manifest(&session.api, &plugin.id, manifest).await,
        None => register(&session.api, manifest).await,
    }
}

async fn start(session: &Session, plugin: &Plugin, command: &[String]) -> Result<Running, Failure> {
    let token = match plugin.token.as_str() {
        "" => cycle_token(&session.api, &plugin.id).await?,
        token => token.to_owned(),
    };
    let url = rpc_url(session.api.server(), &token);
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::new("there is no command to run"))?;
    let mut process = Command::new(program);
    process.args(arguments).current_dir(&session.dir).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    process.env("STORYDEN_RPC_URL", &url).env("PLUGD_RPC_URL", &url).env("PLUGD_PLUGIN_ID", &plugin.id);
    let child = process.spawn().map_err(|error| Failure::from(error).about(format_args!("can't run {program:?}")))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Running { child, group })
}

/// Waits for a change; false if the session ends first. Says so when the command ends by itself.
async fn wait(session: &Session, running: &mut Option<Running>, changes: &mut Changes) -> Result<bool, Failure> {
    if let Some(command) = running {
        tokio::select! {
            is_changed = changes.next(session) => return Ok(is_changed),
            status = command.child.wait() => session.say(&format!("the command ended: {}", status?)),
        }
        stop(running.take()).await?;
    }
    Ok(changes.next(session).await)
}

/// Ends the command and whatever it started: a signal to the whole group, then a kill.
async fn stop(running: Option<Running>) -> Result<(), Failure> {
    let Some(Running { mut child, group: Some(group) }) = running else { return Ok(()) };
    signal(group, Signal::INT)?;
    let ended = timeout(GRACE, child.wait()).await;
    signal(group, Signal::KILL)?;
    match ended {
        Ok(status) => status.map(drop)?,
        Err(_) => child.wait().await.map(drop)?,
    }
    Ok(())
}

/// Signals a group; one that is already empty is fine.
fn signal(group: Pid, signal: Signal) -> Result<(), Failure> {
    match kill_process_group(group, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Failure::from(std::io::Error::from(error))),
    }
}
