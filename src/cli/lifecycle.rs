//! `plugd activate`, `deactivate`, `restart` and `delete`.

use std::io::{self, IsTerminal};

use clap::Args;
use tonic::Status;

use super::{
    Context,
    client::{Api, MARGIN, SETTLE, present, within},
    failure::Failure,
    list::sentence,
    select::{Selection, Task},
    ui::{Ui, sanitize},
    usage,
    wait::{self, Waiting, during},
};
use crate::api::v1::{
    ActiveState, DeletePluginRequest, Plugin, PluginMode, RestartPluginRequest, SetActiveStateRequest,
};

/// Which plugins to start or stop, and how to wait for them.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    waiting: Waiting,
}

/// Start plugins, and keep them running
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd activate my-plugin --timeout 30s\n  plugd activate --all")]
pub(super) struct Activate {
    #[command(flatten)]
    which: Which,
}

/// Stop plugins
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd deactivate my-plugin other-plugin\n  plugd deactivate --all")]
pub(super) struct Deactivate {
    #[command(flatten)]
    which: Which,
}

/// Stop plugins and start them anew
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd restart my-plugin\n  plugd restart --all")]
pub(super) struct Restart {
    #[command(flatten)]
    which: Which,
}

impl Activate {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (api, waiting) = (&context.api, self.which.waiting);
        let act = async |id: String| wait::start(api, &id, set(api, &id, ActiveState::Active, waiting)).await;
        self.which.each(context, is_run_here, Task { act, tell: &sentence, done: "activated" }).await
    }
}

impl Deactivate {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let waiting = self.which.waiting;
        let act = async |id: String| Ok(set(&context.api, &id, ActiveState::Inactive, waiting).await?);
        self.which.each(context, is_run_here, Task { act, tell: &sentence, done: "deactivated" }).await
    }
}

impl Restart {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let waiting = self.which.waiting;
        // Only what is to run can be started anew.
        let is_meant = |plugin: &Plugin| is_run_here(plugin) && plugin.active_state() == ActiveState::Active;
        let act = async |id: String| restart(&context.api, &id, waiting).await;
        // Its state is still the one before.
        let begun = |_: &Ui, plugin: &Plugin| format!("{} {} is to be started anew", plugin.id, sanitize(&plugin.name));
        let tell: &dyn Fn(&Ui, &Plugin) -> String = if waiting.no_wait { &begun } else { &sentence };
        self.which.each(context, is_meant, Task { act, tell, done: "restarted" }).await
    }
}

impl Which {
    async fn each(
        self,
        context: &Context,
        is_meant: impl Fn(&Plugin) -> bool,
        Task { act, tell, done }: Task<'_, impl AsyncFn(String) -> Result<Plugin, Failure>>,
    ) -> Result<(), Failure> {
        let act = async |id: String| during(context, &id.clone(), act(id)).await;
        self.selection.plugins(context, is_meant).await?.each(context, Task { act, tell, done }).await
    }
}

/// External plugins are started and stopped by somebody else.
fn is_run_here(plugin: &Plugin) -> bool {
    plugin.mode() == PluginMode::Supervised
}

/// Says what is desired of a plugin and waits as told.
pub(super) async fn set(api: &Api, id: &str, desired: ActiveState, waiting: Waiting) -> Result<Plugin, Status> {
    let request = SetActiveStateRequest {
        plugin_id: id.to_owned(),
        active_state: desired.into(),
        wait: waiting.wait(),
        if_generation: None,
    };
    let send = within(waiting.deadline(), request, async |request| api.plugins().set_active_state(request).await);
    present(send.await?.plugin)
}

/// Stops a plugin and starts it anew, and waits as told.
pub(super) async fn restart(api: &Api, id: &str, waiting: Waiting) -> Result<Plugin, Failure> {
    let request = RestartPluginRequest { plugin_id: id.to_owned(), wait: waiting.wait(), if_generation: None };
    let send = within(waiting.deadline(), request, async |request| api.plugins().restart_plugin(request).await);
    wait::start(api, id, async { present(send.await?.plugin) }).await
}

/// Stop plugins and remove them with their files
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd delete my-plugin\n  plugd delete --all --yes")]
pub(super) struct Delete {
    #[command(flatten)]
    selection: Selection,
    /// With --all: don't ask
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let selected = self.selection.plugins(context, |_| true).await?;
        if self.selection.all && !self.yes && selected.count() > 0 {
            confirm(&context.ui, selected.count())?;
        }
        let act = async |id| Ok(delete(&context.api, id).await?);
        let tell = |_: &Ui, plugin: &Plugin| format!("{} {} is deleted", plugin.id, sanitize(&plugin.name));
        selected.each(context, Task { act, tell: &tell, done: "deleted" }).await
    }
}

/// Stops a plugin and removes it.
pub(super) async fn delete(api: &Api, plugin_id: String) -> Result<Plugin, Status> {
    let send = async |request| api.plugins().delete_plugin(request).await;
    present(within(SETTLE + MARGIN, DeletePluginRequest { plugin_id, if_generation: None }, send).await?.plugin)
}

/// Asks whoever sits at the terminal.
fn confirm(ui: &Ui, count: usize) -> Result<(), Failure> {
    let what = format!("this stops and removes {count} plugins with their files");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(usage(what).hint("where nobody can be asked, say that you mean it with --yes"));
    }
    ui.note(&format!("{what}. Go on? [y/N]"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was deleted")),
    }
}
