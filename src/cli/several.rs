//! Commands that do the same to several plugins.

use clap::Args;
use futures_util::StreamExt;

use super::{
    Context,
    failure::{Exit, Failure},
    resolve::{all_plugins, plugin_id},
    shape,
    ui::Ui,
};
use crate::api::v1::{ListPluginsRequest, Plugin};

/// How many plugins are worked on at the same time.
const AT_ONCE: usize = 8;

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
pub(super) struct Deed<'a, A> {
    /// Does it to the plugin with this id.
    pub(super) act: A,
    /// Tells of a plugin to which it is done.
    pub(super) tell: &'a dyn Fn(&Ui, &Plugin) -> String,
    /// What it is then, as "deleted".
    pub(super) done: &'a str,
}

impl Selection {
    /// The plugins that are meant: with `--all` those of which this is true.
    ///
    /// # Errors
    /// The server can't be asked; or the only plugin that was named is not there.
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
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Does something to each, some of them at a time. What fails for one is said, and does not keep it from the others.
    ///
    /// # Errors
    /// It failed for some: with the highest of their exit codes.
    pub(super) async fn each<A>(self, context: &Context, deed: Deed<'_, A>) -> Result<(), Failure>
    where
        A: AsyncFn(String) -> Result<Plugin, Failure>,
    {
        let (count, is_one) = (self.ids.len() + self.missing.len(), self.is_one);
        let mut failed: Vec<Exit> = self.missing.into_iter().map(|failure| say(context, failure)).collect();
        let act = &deed.act;
        let work = self.ids.into_iter().map(|id| async move { (act(id.clone()).await, id) });
        let mut work = std::pin::pin!(futures_util::stream::iter(work).buffer_unordered(AT_ONCE));
        while let Some((done, id)) = work.next().await {
            match done {
                Ok(plugin) => tell(&context.ui, &plugin, deed.tell, is_one)?,
                Err(failure) if is_one || failure.is_closed_pipe() => return Err(failure),
                Err(failure) => failed.push(say(context, failure.about(id))),
            }
        }
        match failed.iter().max_by_key(|exit| **exit as u8) {
            None => {
                if count == 0 {
                    context.ui.note(&format!("There is no plugin to be {}.", deed.done));
                }
                Ok(())
            }
            Some(exit) => Err(summary(failed.len(), count, deed.done).exit(*exit)),
        }
    }
}

/// Says why something failed for one plugin of several.
fn say(context: &Context, failure: Failure) -> Exit {
    let failure = context.api.explain(failure);
    context.ui.fail(&failure);
    failure.exit
}

fn summary(failed: usize, count: usize, done: &str) -> Failure {
    Failure::new(format!("{failed} of {count} plugins are not {done}")).hint("the errors before this one say why")
}

/// Tells of one plugin: to programs as a document, or one a line if there are several.
fn tell(ui: &Ui, plugin: &Plugin, words: &dyn Fn(&Ui, &Plugin) -> String, is_one: bool) -> Result<(), Failure> {
    let told = match (ui.is_json(), is_one) {
        (true, true) => ui.json(&shape::plugin(plugin)),
        (true, false) => ui.json_line(&shape::plugin(plugin)),
        (false, _) => ui.line(&words(ui, plugin)),
    };
    Ok(told?)
}
