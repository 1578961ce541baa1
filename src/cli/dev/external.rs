//! An external plugin under development: registered, run here, and run again when a file changes.

use std::{pin::pin, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{Session, changes::Changes, follow_states};
use crate::{
    api::v1::{Plugin, PluginMode},
    cli::{
        client::in_full,
        external::{register, rpc_url, update_manifest},
        failure::Failure,
        package::{ManifestFile, remarks},
        usage,
    },
};

/// How long the command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// A command that runs, and the group of everything that it started.
struct Running {
    child: Child,
    group: Option<Pid>,
}

/// Runs a command as the plugin of the session's folder, again after each change. Without a command, the manifest's.
pub(super) async fn run(session: &Session, command: &[String]) -> Result<(), Failure> {
    let changes = Changes::of(&session.dir, &session.data_dir)?;
    let manifest = read_manifest(session)?;
    let plugin = match session.installed(manifest.id().unwrap_or_default(), PluginMode::External).await? {
        Some(plugin) => update_manifest(&session.api, &plugin.id, manifest.to_struct()?).await?,
        None => register(&session.api, manifest.to_struct()?).await?,
    };
    let mut running = Some(start(session, &plugin, &manifest, command).await?);
    session.say(&format!("{} is registered; state changes follow", plugin.id));
    let _states = follow_states(session, vec![plugin.id.clone()]);
    while wait(session, &mut running, &changes).await? {
        stop(running.take()).await?;
        session.say("a file changed: starting anew");
        match start_anew(session, &plugin.id, command).await {
            Ok(next) => running = Some(next),
            Err(failure) => session.failed(failure),
        }
    }
    stop(running).await
}

/// Starts the plugin with its manifest as it is now. It stays the same plugin when that gets another id.
async fn start_anew(session: &Session, id: &str, command: &[String]) -> Result<Running, Failure> {
    let manifest = read_manifest(session)?;
    let plugin = update_manifest(&session.api, id, manifest.to_struct()?).await?;
    start(session, &plugin, &manifest, command).await
}

fn read_manifest(session: &Session) -> Result<ManifestFile, Failure> {
    let manifest = ManifestFile::of_folder(&session.dir, session.manifest.as_deref())?;
    remarks(&manifest.object, false).iter().for_each(|remark| session.say(&format!("warning: {remark}")));
    Ok(manifest)
}

async fn start(
    session: &Session,
    plugin: &Plugin,
    manifest: &ManifestFile,
    command: &[String],
) -> Result<Running, Failure> {
    let url = rpc_url(session.api.server(), in_full(&session.api, plugin).await.token());
    let command = if command.is_empty() { command_of(manifest) } else { command.to_vec() };
    let (program, arguments) = command.split_first().ok_or_else(|| {
        usage("there is no command to run").hint("give one after --, or put a \"command\" into the manifest")
    })?;
    let mut process = Command::new(program);
    process.args(arguments).current_dir(&session.dir).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    process.env("STORYDEN_RPC_URL", &url).env("PLUGD_RPC_URL", &url).env("PLUGD_PLUGIN_ID", &plugin.id);
    let child = process.spawn().map_err(|error| Failure::from(error).about(format_args!("can't run {program:?}")))?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Running { child, group })
}

/// The command in a manifest.
fn command_of(manifest: &ManifestFile) -> Vec<String> {
    let command = manifest.object.get("command").and_then(Value::as_str).filter(|command| !command.is_empty());
    let Some(command) = command else { return Vec::new() };
    let args = manifest.object.get("args").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(command).chain(args.filter_map(Value::as_str)).map(str::to_owned).collect()
}

/// Waits for a change; false if the session ends first. Says so when the command ends by itself.
async fn wait(session: &Session, running: &mut Option<Running>, changes: &Changes) -> Result<bool, Failure> {
    let mut changed = pin!(session.stop.run_until_cancelled(changes.settled()));
    if let Some(command) = running {
        tokio::select! {
            is_changed = &mut changed => return Ok(is_changed.is_some()),
            status = command.child.wait() => session.say(&format!("the command ended: {}", status?)),
        }
        stop(running.take()).await?;
    }
    Ok(changed.await.is_some())
}

/// Ends the command and whatever it started: a signal to the whole group, then a kill.
async fn stop(running: Option<Running>) -> Result<(), Failure> {
    let Some(Running { mut child, group: Some(group) }) = running else { return Ok(()) };
    signal(group, Signal::INT)?;
    let ended = timeout(GRACE, child.wait()).await;
    signal(group, Signal::KILL)?;
    if ended.is_err() {
        child.wait().await?;
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
