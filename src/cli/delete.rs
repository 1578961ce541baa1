//! `plugd delete`.

use std::io::{self, IsTerminal};

use clap::Args;

use super::{
    Context,
    client::{MARGIN, SETTLE, present, within},
    failure::Failure,
    several::{Deed, Selection},
    ui::{Ui, sanitize},
    usage,
};
use crate::api::v1::{DeletePluginRequest, Plugin};

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
        let act = async |plugin_id| {
            let send = async |request| context.api.plugins().delete_plugin(request).await;
            present(within(SETTLE + MARGIN, DeletePluginRequest { plugin_id }, send).await?.plugin)
        };
        let tell = |_: &Ui, plugin: &Plugin| format!("{} {} is deleted", plugin.id, sanitize(&plugin.name));
        selected.each(context, Deed { act, tell: &tell, done: "deleted" }).await
    }
}

/// Asks whoever sits at the terminal.
///
/// # Errors
/// They say no, or nobody is there.
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
