//! From what a person types to plugins, and what is done to several of them.

use clap::Args;
use futures_util::StreamExt;

use super::{
    Context,
    client::{Api, QUICK, present, within},
    failure::{Exit, Failure},
    ui::{Ui, did_you_mean, sanitize},
    words::{self, manifest_id},
};
use crate::{
    api::v1::{GetPluginRequest, ListPluginsRequest, Plugin, PluginView},
    domain::PluginId,
};

/// How many plugins are asked for at a time: the most.
const PAGE_SIZE: i32 = 1000;
/// How many plugins are worked on at the same time.
const AT_ONCE: usize = 8;

/// Which plugin a command is for.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
}

impl One {
    /// Its id.
    pub(super) async fn id(&self, api: &Api) -> Result<String, Failure> {
        plugin_id(api, &self.plugin).await
    }

    /// It as it is now.
    pub(super) async fn get(&self, api: &Api) -> Result<Plugin, Failure> {
        plugin(api, &self.id(api).await?).await
    }
}

/// The id of the plugin that a person means: an id, or the manifest id or name of one plugin only. Manifest ids come first:
/// anybody may call a plugin as another one's manifest id.
async fn plugin_id(api: &Api, text: &str) -> Result<String, Failure> {
    if text.parse::<PluginId>().is_ok() {
        return Ok(text.to_owned());
    }
    let with_id = with_manifest_id(api, text).await.map_err(by_id)?;
    if !with_id.is_empty() {
        return only(&with_id.iter().collect::<Vec<_>>(), text);
    }
    named(&all_plugins(api, &ListPluginsRequest::default()).await.map_err(by_id)?, text)
}

/// [`plugin_id`] of each.
pub(super) async fn plugin_ids(api: &Api, texts: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(texts.len());
    for text in texts {
        ids.push(plugin_id(api, text).await?);
    }
    Ok(ids)
}

/// The plugin with this id.
pub(super) async fn plugin(api: &Api, id: &str) -> Result<Plugin, Failure> {
    let request = GetPluginRequest { plugin_id: id.to_owned(), ..GetPluginRequest::default() };
    Ok(present(within(QUICK, request, async |request| api.plugins().get_plugin(request).await).await?.plugin)?)
}

/// The same plugin with its token, if it has one that the caller may see.
pub(super) async fn in_full(api: &Api, plugin: &Plugin) -> Plugin {
    let request = GetPluginRequest { plugin_id: plugin.id.clone(), view: PluginView::Full.into() };
    let full = within(QUICK, request, async |request| api.plugins().get_plugin(request).await).await;
    full.ok().and_then(|answer| answer.plugin).unwrap_or_else(|| plugin.clone())
}

/// The plugins with this manifest id.
pub(super) async fn with_manifest_id(api: &Api, id: &str) -> Result<Vec<Plugin>, Failure> {
    if id.is_empty() {
        return Ok(Vec::new());
    }
    all_plugins(api, &ListPluginsRequest { manifest_id: Some(id.to_owned()), ..ListPluginsRequest::default() }).await
}

/// All plugins that a request asks for, page by page.
pub(super) async fn all_plugins(api: &Api, request: &ListPluginsRequest) -> Result<Vec<Plugin>, Failure> {
    let mut plugins = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPluginsRequest { page_size: PAGE_SIZE, page_token, ..request.clone() };
        let page = within(QUICK, request, async |request| api.plugins().list_plugins(request).await).await?;
        plugins.extend(page.plugins);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(plugins);
        }
    }
}

/// Whoever may not list the plugins, as an application may not, can do without.
fn by_id(failure: Failure) -> Failure {
    if failure.has_reason("PERMISSION_DENIED") {
        return failure.hint("to find a plugin by its name takes a token that may list them: give the plugin's id");
    }
    failure
}

/// The only one with this name.
fn named(plugins: &[Plugin], text: &str) -> Result<String, Failure> {
    let candidates: Vec<&Plugin> = plugins.iter().filter(|plugin| plugin.name == text).collect();
    if candidates.is_empty() { Err(unknown(plugins, text)) } else { only(&candidates, text) }
}

/// The only one.
fn only(candidates: &[&Plugin], text: &str) -> Result<String, Failure> {
    if let [plugin] = candidates {
        return Ok(plugin.id.clone());
    }
    let line = |plugin: &&Plugin| format!("\n    {}  {}", plugin.id, sanitize(&plugin.name));
    let lines: String = candidates.iter().map(line).collect();
    Err(Failure::new(format!("{text:?} may be any of {} plugins", candidates.len()))
        .hint(format!("give the id of the one that you mean:{lines}"))
        .exit(Exit::Usage))
}

fn unknown(plugins: &[Plugin], text: &str) -> Failure {
    let names = plugins.iter().flat_map(|plugin| manifest_id(plugin).into_iter().chain([plugin.name.as_str()]));
    let suggestion = did_you_mean(text, names).map(|guess| format!("{guess} ")).unwrap_or_default();
    Failure::new(format!("there is no plugin {text:?}"))
        .hint(format!("{suggestion}`plugd list` shows the plugins; an id, a manifest id or a name will do"))
        .exit(Exit::NotFound)
}

/// Which plugins a command is for.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// The plugins: of each its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID", required_unless_present = "all")]
    plugins: Vec<String>,
    /// Every plugin that this makes a difference to
    #[arg(long, conflicts_with = "plugins")]
    pub(super) all: bool,
}

/// The plugins that were meant.
#[derive(Debug)]
pub(super) struct Selected {
    ids: Vec<String>,
    /// Why some of those that were named are not among them.
    missing: Vec<Failure>,
    is_one: bool,
}

/// What a command does to each plugin, in its own words.
pub(super) struct Task<'a, A> {
    /// Does it to the plugin with this id.
    pub(super) act: A,
    /// Tells of a plugin to which it is done.
    pub(super) tell: &'a dyn Fn(&Ui, &Plugin) -> String,
    /// What it is then, as "deleted".
    pub(super) done: &'a str,
}

impl Selection {
    /// The plugins that are meant: with `--all` those of which this is true.
    pub(super) async fn plugins(
        &self,
        context: &Context,
        is_meant: impl Fn(&Plugin) -> bool,
    ) -> Result<Selected, Failure> {
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
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Does something to each, some of them at a time. What fails for one is said, and does not keep it from the others; the
    /// command then fails with the highest of their exit codes.
    pub(super) async fn each<A>(self, context: &Context, task: Task<'_, A>) -> Result<(), Failure>
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
        (true, true) => ui.json(&words::plugin(plugin)),
        (true, false) => ui.json_line(&words::plugin(plugin)),
        (false, _) => ui.line(&words(ui, plugin)),
    };
    Ok(told?)
}

#[cfg(test)]
mod tests;
