//! `plugd activate`, `deactivate`, `restart` and `delete`: what is done to one plugin or several, and waiting for it.

use std::{
    io::{self, IsTerminal},
    pin::pin,
    time::Duration,
};

use clap::Args;
use futures_util::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Context,
    client::{Api, MARGIN, SETTLE, all_plugins, plugin, plugin_id, present, within},
    failure::{Exit, Failure, metadata},
    follow::follow,
    help, show,
    ui::{Ui, sanitize},
    usage,
};
use crate::{
    api::v1::{
        ActiveState, DeletePluginRequest, ListPluginsRequest, Plugin, PluginMode, ReportedState, RestartPluginRequest,
        SetActiveStateRequest, WatchStateRequest,
    },
    config,
};

/// How many plugins are worked on at the same time.
const AT_ONCE: usize = 8;

/// Which plugins to start or stop, and how to wait for them.
#[derive(Debug, Args)]
pub(super) struct Which {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    waiting: Waiting,
}

impl Which {
    pub(super) async fn activate(self, context: &Context) -> Result<(), Failure> {
        let (api, waiting) = (&context.api, self.waiting);
        let act = async |id: String| start(api, &id, set(api, &id, ActiveState::Active, waiting)).await;
        self.each(context, is_run_here, Task { act, tell: &show::sentence, done: "activated" }).await
    }

    pub(super) async fn deactivate(self, context: &Context) -> Result<(), Failure> {
        let waiting = self.waiting;
        let act = async |id: String| Ok(set(&context.api, &id, ActiveState::Inactive, waiting).await?);
        self.each(context, is_run_here, Task { act, tell: &show::sentence, done: "deactivated" }).await
    }

    pub(super) async fn restart(self, context: &Context) -> Result<(), Failure> {
        let waiting = self.waiting;
        // Only what is to run can be started anew.
        let is_meant = |plugin: &Plugin| is_run_here(plugin) && plugin.active_state() == ActiveState::Active;
        let act = async |id: String| restart(&context.api, &id, waiting).await;
        // Its state is still the one before.
        let begun = |_: &Ui, plugin: &Plugin| format!("{} {} is to be started anew", plugin.id, sanitize(&plugin.name));
        let tell: &dyn Fn(&Ui, &Plugin) -> String = if waiting.no_wait { &begun } else { &show::sentence };
        self.each(context, is_meant, Task { act, tell, done: "restarted" }).await
    }

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

pub(super) async fn restart(api: &Api, id: &str, waiting: Waiting) -> Result<Plugin, Failure> {
    let request = RestartPluginRequest { plugin_id: id.to_owned(), wait: waiting.wait(), if_generation: None };
    let send = within(waiting.deadline(), request, async |request| api.plugins().restart_plugin(request).await);
    start(api, id, async { present(send.await?.plugin) }).await
}

#[derive(Debug, Args)]
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
        if self.selection.all && !self.yes && !selected.ids.is_empty() {
            confirm(&context.ui, selected.ids.len())?;
        }
        let act = async |id| Ok(delete(&context.api, id).await?);
        let tell = |_: &Ui, plugin: &Plugin| format!("{} {} is deleted", plugin.id, sanitize(&plugin.name));
        selected.each(context, Task { act, tell: &tell, done: "deleted" }).await
    }
}

pub(super) async fn delete(api: &Api, plugin_id: String) -> Result<Plugin, Status> {
    let send = async |request| api.plugins().delete_plugin(request).await;
    present(within(SETTLE + MARGIN, DeletePluginRequest { plugin_id, if_generation: None }, send).await?.plugin)
}

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

#[derive(Debug, Args)]
struct Selection {
    /// The plugins: of each its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID", required_unless_present = "all", add = help::plugins())]
    plugins: Vec<String>,
    /// Every plugin that this makes a difference to
    #[arg(long, conflicts_with = "plugins")]
    all: bool,
}

#[derive(Debug)]
struct Selected {
    ids: Vec<String>,
    /// Why some of those that were named are not among them.
    missing: Vec<Failure>,
    is_one: bool,
}

/// What a command does to each plugin, in its own words.
struct Task<'a, A> {
    /// Does it to the plugin with this id.
    act: A,
    /// Tells of a plugin to which it is done.
    tell: &'a dyn Fn(&Ui, &Plugin) -> String,
    /// What it is then, as "deleted".
    done: &'a str,
}

impl Selection {
    /// The plugins that are meant: with `--all` those of which this is true.
    async fn plugins(&self, context: &Context, is_meant: impl Fn(&Plugin) -> bool) -> Result<Selected, Failure> {
        if self.all {
            let plugins = all_plugins(&context.api, &ListPluginsRequest::default()).await?;
            let ids = plugins.into_iter().filter(is_meant).map(|plugin| plugin.id).collect();
            return Ok(Selected { ids, missing: Vec::new(), is_one: false });
        }
        let is_one = self.plugins.len() == 1;
        let mut selected = Selected { ids: Vec::new(), missing: Vec::new(), is_one };
        for text in &self.plugins {
            match plugin_id(&context.api, text).await {
                Ok(id) if selected.ids.contains(&id) => {}
                Ok(id) => selected.ids.push(id),
                Err(failure) if is_one => return Err(failure),
                Err(failure) => selected.missing.push(failure),
            }
        }
        Ok(selected)
    }
}

impl Selected {
    /// Does something to each, some of them at a time. What fails for one is said, and does not keep it from the others; the
    /// command then fails with the highest of their exit codes.
    async fn each<A>(self, context: &Context, task: Task<'_, A>) -> Result<(), Failure>
    where
        A: AsyncFn(String) -> Result<Plugin, Failure>,
    {
        let (count, is_one) = (self.ids.len() + self.missing.len(), self.is_one);
        let mut failed: Vec<Exit> = self.missing.into_iter().map(|failure| say(context, failure)).collect();
        let act = &task.act;
        let work = self.ids.into_iter().map(|id| async move { (act(id.clone()).await, id) });
        let mut work = std::pin::pin!(futures_util::stream::iter(work).buffer_unordered(AT_ONCE));
        while let Some((done, id)) = work.next().await {
            match done {
                Ok(plugin) => tell(&context.ui, &plugin, task.tell, is_one)?,
                Err(failure) if is_one || failure.is_closed_pipe => return Err(failure),
                Err(failure) => failed.push(say(context, failure.about(id))),
            }
        }
        if count == 0 {
            context.ui.note(&format!("There is no plugin to be {}.", task.done));
        }
        let Some(exit) = failed.iter().max() else { return Ok(()) };
        Err(Failure::new(format!("{} of {count} plugins are not {}", failed.len(), task.done))
            .hint("the errors before this one say why")
            .exit(*exit))
    }
}

/// Says why something failed for one plugin of several.
fn say(context: &Context, failure: Failure) -> Exit {
    let failure = context.api.explain(failure);
    context.ui.fail(&failure);
    failure.exit
}

/// Tells of one plugin: to programs as a document, or one a line if there are several.
fn tell(ui: &Ui, plugin: &Plugin, words: &dyn Fn(&Ui, &Plugin) -> String, is_one: bool) -> Result<(), Failure> {
    let told = match (ui.is_json(), is_one) {
        (true, true) => ui.json(&show::plugin_json(plugin)),
        (true, false) => ui.json_line(&show::plugin_json(plugin)),
        (false, _) => ui.line(&words(ui, plugin)),
    };
    Ok(told?)
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

/// How long a command may be silent.
const SILENCE: Duration = Duration::from_secs(1);

/// Does this, and says what the plugin goes through if it takes long: one that never connects takes minutes to fail.
pub(super) async fn during<T>(context: &Context, plugin_id: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(SILENCE, &mut work).await {
        return done;
    }
    tokio::select! {
        done = &mut work => done,
        () = narrate(context, plugin_id) => work.await,
    }
}

/// Says each state of the plugin. Ends when it can't be watched, as by one who may start it only.
async fn narrate(context: &Context, plugin_id: &str) {
    let mut said = String::new();
    let mut say = |plugin: Plugin| {
        if let Some(words) = transition(&plugin).filter(|words| *words != said) {
            context.ui.note(&format!("{} {words}", sanitize(&plugin.name)));
            said = words;
        }
    };
    let _ = follow(&context.api, watch(plugin_id), &mut say, &CancellationToken::new()).await;
}

fn watch(plugin_id: &str) -> WatchStateRequest {
    WatchStateRequest { plugin_ids: vec![plugin_id.to_owned()], ..WatchStateRequest::default() }
}

/// What a plugin is about; none when it is settled, which the command tells by itself.
fn transition(plugin: &Plugin) -> Option<String> {
    let status = plugin.status.as_ref()?;
    let why = if status.message().is_empty() { String::new() } else { format!(": {}", sanitize(status.message())) };
    let again = if status.restart_count == 0 { String::new() } else { format!(", restart {}", status.restart_count) };
    let state = show::state_word(status.state());
    match status.state() {
        ReportedState::Starting | ReportedState::Connecting => Some(format!("is {state}{again}")),
        ReportedState::Stopping => Some(format!("is {state}{why}")),
        ReportedState::Restarting => Some(format!("is to be started again{again}{why}")),
        _ => None,
    }
}

/// How long it is waited for that the package before runs again.
const SETTLED: Duration = Duration::from_secs(60);

/// Does what starts a plugin; if it fails, waits until it is known what became of the plugin: its package may have been put
/// in while it did not run.
pub(super) async fn start(
    api: &Api,
    id: &str,
    work: impl Future<Output = Result<Plugin, Status>>,
) -> Result<Plugin, Failure> {
    let before = plugin(api, id).await?;
    match work.await {
        Ok(plugin) => Ok(plugin),
        Err(status) => Err(Box::pin(explain(api, id, &before.version, status)).await),
    }
}

/// Why a plugin failed with this version of its package, and what became of it if plugd goes back to the one before.
pub(super) async fn explain(api: &Api, id: &str, version: &str, status: Status) -> Failure {
    let Some(digest) = going_back_to(&status) else { return status.into() };
    let (stop, mut back) = (CancellationToken::new(), None);
    let mut look = |now: Plugin| {
        if now.package_digest() == digest && is_settled(&now) {
            back = Some(now);
            stop.cancel();
        }
    };
    // Whoever may not watch is not told more than that it failed.
    let _ = timeout(SETTLED, follow(api, watch(id), &mut look, &stop)).await;
    put_back(id, version, back.as_ref(), &Failure::from(status))
}

/// The package that plugd goes back to because of this failure.
pub(super) fn going_back_to(status: &Status) -> Option<String> {
    metadata(status).remove("going_back_to")
}

fn is_settled(plugin: &Plugin) -> bool {
    let is_seen = plugin.status.as_ref().is_some_and(|status| status.observed_generation >= plugin.generation);
    let state = show::state_of(plugin);
    is_seen && matches!(state, ReportedState::Active | ReportedState::Inactive | ReportedState::Error)
}

/// The failure of this version of a package in whose place another one is `back`, if that is settled.
fn put_back(id: &str, version: &str, back: Option<&Plugin>, failure: &Failure) -> Failure {
    let named =
        |version: &str, unnamed: &str| if version.is_empty() { unnamed.to_owned() } else { show::version(version) };
    let is_other = back.is_none_or(|back| back.version != version);
    let failed = named(if is_other { version } else { "" }, "the new package");
    let why = failure.what.strip_prefix("the plugin failed: ").map(|why| format!(" ({})", sanitize(why)));
    let earlier = named(back.map_or("", |back| &back.version), "the one before it");
    let state = match back.map(|back| (show::state_of(back), sanitize(back.message()))) {
        None => "is being put back".to_owned(),
        Some((ReportedState::Error, message)) => format!("is back and failed too: {message}"),
        Some((state, _)) => format!("is back and {}", show::state_word(state)),
    };
    let failure = Failure::new(format!("{failed} failed{}; {earlier} {state}", why.unwrap_or_default()))
        .hint(format!("see `plugd logs {id}`, correct it, then `plugd update {id} DIR`"))
        .exit(Exit::PluginFailed);
    Failure { reason: Some("PLUGIN_FAILED".to_owned()), ..failure }
}

#[cfg(test)]
mod tests;
