//! An external plugin under development: registered, run here, and run again when a file changes.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{Session, changes::Changes, output::follow_states};
use crate::{
    api::v1::{Plugin, PluginMode},
    cli::{
        client::in_full,
        external::{register, rotate_token, rpc_url, update_manifest},
        failure::Failure,
        package::{Manifest, remarks},
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
pub(super) async fn run(session: &Session, command: &[String], changes: &mut Changes) -> Result<(), Failure> {
    let mut external = External { session, command, plugin: None };
    let mut running = Some(external.start().await?);
    let id = external.plugin.as_ref().map(|plugin| plugin.id.clone()).unwrap_or_default();
    session.say(&format!("{id} is registered; state changes follow"));
    let _states = follow_states(session, vec![id]);
    while wait(session, &mut running, changes).await? {
        stop(running.take()).await?;
        session.say("a file changed: starting anew");
        match external.start().await {
            Ok(next) => running = Some(next),
            Err(failure) => session.failed(failure),
        }
    }
    stop(running).await
}

/// The plugin of the session's folder, and what runs it.
struct External<'a> {
    session: &'a Session,
    command: &'a [String],
    /// It, once it is registered. It stays the same one when its manifest gets another id.
    plugin: Option<Plugin>,
}

impl External<'_> {
    async fn start(&mut self) -> Result<Running, Failure> {
        let manifest = Manifest::of_folder(&self.session.dir, self.session.manifest.as_deref())?;
        for remark in remarks(&manifest.object, false) {
            self.session.shout(&format!("warning: {remark}"));
        }
        let plugin = self.register(&manifest).await?;
        let command = if self.command.is_empty() { command_of(&manifest) } else { self.command.to_vec() };
        let running = start(self.session, &plugin, &command).await;
        self.plugin = Some(plugin);
        running
    }

    /// Registers the plugin, or brings its manifest up to date.
    async fn register(&self, manifest: &Manifest) -> Result<Plugin, Failure> {
        let (api, object) = (&self.session.api, manifest.to_struct()?);
        let known = match &self.plugin {
            Some(plugin) => Some(plugin.clone()),
            None => self.session.installed(manifest.id().unwrap_or_default(), PluginMode::External).await?,
        };
        match known {
            Some(plugin) => update_manifest(api, &plugin.id, object).await,
            None => register(api, object).await,
        }
    }
}

/// The command in a manifest.
fn command_of(manifest: &Manifest) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let command = manifest.object.get("command").and_then(text).filter(|command| !command.is_empty());
    let args = manifest.object.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    command.map(|command| std::iter::once(command).chain(args).collect()).unwrap_or_default()
}

async fn start(session: &Session, plugin: &Plugin, command: &[String]) -> Result<Running, Failure> {
    let plugin = in_full(&session.api, plugin).await;
    let plugin = if plugin.token.is_none() { rotate_token(&session.api, &plugin.id).await? } else { plugin };
    let url = rpc_url(session.api.server(), plugin.token());
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
