//! `plugd activate`, `deactivate`, `restart` and `delete`: what is done to one plugin or several, and waiting for it.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tonic::Status;

use super::{
    Context,
    client::{Api, MARGIN, SETTLE, all_plugins, plugin_id, present},
    completions,
    failure::Failure,
    show,
    ui::{Ui, sanitize},
    usage,
};
use crate::{
    api::v1::{
        ActiveState, DeletePluginRequest, ListPluginsRequest, Plugin, PluginMode, RestartPluginRequest,
        SetActiveStateRequest,
    },
    config,
};

/// How many plugins are worked on at the same time.
pub(super) const AT_ONCE: usize = 8;

/// The arguments of `plugd activate`, `deactivate` and `restart`.
#[derive(Debug, Args)]
pub(super) struct Change {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    waiting: Waiting,
}

impl Change {
    /// Makes this the desired state of the plugins, which are then `done`, as "activated".
    pub(super) async fn set(self, context: &Context, desired: ActiveState, done: &str) -> Result<(), Failure> {
        let act = async |id| Ok(set(&context.api, id, desired, self.waiting).await?);
        self.selection.each(context, is_run_here, act, (show::sentence, done)).await
    }

    pub(super) async fn restart(self, context: &Context) -> Result<(), Failure> {
        // Only what is to run can be started anew.
        let is_meant = |plugin: &Plugin| is_run_here(plugin) && plugin.active_state() == ActiveState::Active;
        let act = async |id| Ok(restart(&context.api, id, self.waiting).await?);
        // The state of a plugin that is not waited for is still the one before.
        let line: &dyn Fn(&Ui, &Plugin) -> String = if self.waiting.no_wait { &to_be_started } else { &show::sentence };
        self.selection.each(context, is_meant, act, (line, "restarted")).await
    }
}

/// External plugins are started and stopped by somebody else.
fn is_run_here(plugin: &Plugin) -> bool {
    plugin.mode() == PluginMode::Supervised
}

fn to_be_started(_: &Ui, plugin: &Plugin) -> String {
    format!("{} {} is to be started anew", plugin.id, sanitize(&plugin.name))
}

/// Says what is desired of a plugin and waits as told.
pub(super) async fn set(api: &Api, id: String, desired: ActiveState, waiting: Waiting) -> Result<Plugin, Status> {
    let (active_state, wait) = (desired.into(), waiting.wait());
    let request = SetActiveStateRequest { plugin_id: id, active_state, wait, if_generation: None };
    present(api.call(waiting.deadline(), request).await?.plugin)
}

/// Has a plugin started anew and waits as told.
pub(super) async fn restart(api: &Api, id: String, waiting: Waiting) -> Result<Plugin, Status> {
    let request = RestartPluginRequest { plugin_id: id, wait: waiting.wait(), if_generation: None };
    present(api.call(waiting.deadline(), request).await?.plugin)
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    selection: Selection,
    /// With --all: yes, every plugin and its files
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.selection.all && !self.yes {
            return Err(
                usage("--all stops and removes every plugin with its files").hint("say that you mean it with --yes")
            );
        }
        let act = async |plugin_id| {
            let request = DeletePluginRequest { plugin_id, if_generation: None };
            Ok(present(context.api.call(SETTLE + MARGIN, request).await?.plugin)?)
        };
        let line = |_: &Ui, plugin: &Plugin| format!("{} {} is deleted", plugin.id, sanitize(&plugin.name));
        self.selection.each(context, |_| true, act, (line, "deleted")).await
    }
}

/// The plugins that a command is for.
#[derive(Debug, Args)]
struct Selection {
    /// The plugins: of each its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID", required_unless_present = "all", add = completions::plugins())]
    plugins: Vec<String>,
    /// Every plugin that this makes a difference to
    #[arg(long, conflicts_with = "plugins")]
    all: bool,
}

impl Selection {
    /// Does something to each plugin, with `--all` to those that are meant, and tells of each in words, or of all in one
    /// JSON document. The words are a line about the plugin, and what it is then, as "deleted". What fails for one does not
    /// keep it from the others.
    async fn each(
        &self,
        context: &Context,
        is_meant: impl Fn(&Plugin) -> bool,
        act: impl AsyncFn(String) -> Result<Plugin, Failure>,
        (line, done): (impl Fn(&Ui, &Plugin) -> String, &str),
    ) -> Result<(), Failure> {
        let ui = &context.ui;
        if let [one] = self.plugins.as_slice() {
            let plugin = act(plugin_id(&context.api, one).await?).await?;
            return Ok(ui.json_or(|| show::plugin_json(&plugin), || line(ui, &plugin))?);
        }
        let (ids, mut failed) = self.ids(&context.api, is_meant).await?;
        let (count, mut changed) = (ids.len() + failed.len(), Vec::new());
        let work = ids.into_iter().map(async |id| (act(id.clone()).await, id));
        let mut work = pin!(stream::iter(work).buffered(AT_ONCE));
        while let Some((result, id)) = work.next().await {
            match result {
                Ok(plugin) if ui.is_json() => changed.push(show::plugin_json(&plugin)),
                Ok(plugin) => ui.line(&line(ui, &plugin))?,
                Err(failure) => drop(failed.insert(id, context.api.explain(failure))),
            }
        }
        if ui.is_json() {
            ui.json(&Value::Array(changed))?;
        } else if count == 0 {
            ui.note(&format!("There is no plugin to be {done}."));
        }
        if failed.is_empty() { Ok(()) } else { Err(Failure::of_several(failed, count, done)) }
    }

    /// The ids of the plugins, each once, and why some of those that were named have none.
    async fn ids(
        &self,
        api: &Api,
        is_meant: impl Fn(&Plugin) -> bool,
    ) -> Result<(Vec<String>, BTreeMap<String, Failure>), Failure> {
        let (mut ids, mut unknown) = (Vec::new(), BTreeMap::new());
        if self.all {
            let plugins = all_plugins(api, &ListPluginsRequest::default()).await?;
            ids.extend(plugins.into_iter().filter(is_meant).map(|plugin| plugin.id));
        }
        for named in &self.plugins {
            match plugin_id(api, named).await {
                Ok(id) if ids.contains(&id) => {}
                Ok(id) => ids.push(id),
                Err(failure) => drop(unknown.insert(named.clone(), api.explain(failure))),
            }
        }
        Ok((ids, unknown))
    }
}

/// How to wait for what was asked for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Waiting {
    /// Don't wait until it is settled
    #[arg(long, conflicts_with = "timeout")]
    pub(super) no_wait: bool,
    /// How long to wait until it is settled, like 30s; at most and by default 5m
    #[arg(long, value_name = "TIME", value_parser = |text: &str| limited(text, SETTLE, "5m; --no-wait waits not at all"))]
    pub(super) timeout: Option<Duration>,
}

impl Waiting {
    /// How long the server is told to wait.
    pub(super) fn wait(self) -> Option<prost_types::Duration> {
        let timeout = if self.no_wait { Some(Duration::ZERO) } else { self.timeout };
        timeout.and_then(|timeout| timeout.try_into().ok())
    }

    /// How long the call itself may take.
    pub(super) fn deadline(self) -> Duration {
        self.timeout.unwrap_or(SETTLE) + MARGIN
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or("a time like 500ms, 30s, 1m30s or 30d is expected")
}

/// A time as an argument: more than nothing, and at most so long.
pub(super) fn limited(text: &str, limit: Duration, words: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    let is_fine = !time.is_zero() && time <= limit;
    if is_fine { Ok(time) } else { Err(format!("more than nothing is expected, and at most {words}")) }
}
