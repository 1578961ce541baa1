//! `plugd completions`: scripts with which a shell asks plugd itself what may follow, the plugins of the server too.

use std::{
    env,
    ffi::{OsStr, OsString},
    time::Duration,
};

use clap::{Args, CommandFactory, FromArgMatches};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use tokio::{runtime::Builder, time::timeout};

use super::{
    Cli,
    client::{Api, all_plugins},
    failure::Failure,
    global::GlobalOptions,
    show::{self, manifest_id},
    ui::{Ui, sanitize},
    usage,
};
use crate::api::v1::{ListPluginsRequest, Plugin};

/// The variable in which a script says for which shell it asks.
const ASKED: &str = "PLUGD_COMPLETE";
/// How long somebody who pressed a key is kept waiting for the names of plugins.
const PATIENCE: Duration = Duration::from_millis(700);

/// Print completions for a shell
///
/// The completions know the commands, the options, and the plugins of the server.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd completions bash > /etc/bash_completion.d/plugd\n  \
                        plugd completions fish > ~/.config/fish/completions/plugd.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let (name, shells) = (self.shell.to_string(), Shells::builtins());
        let shell = shells.completer(&name).ok_or_else(|| usage(format!("{name} has no completions")))?;
        let mut script = Vec::new();
        shell.write_registration(ASKED, "plugd", "plugd", "plugd", &mut script)?;
        Ok(ui.raw(&script)?)
    }
}

/// Answers a script that asks what may follow, and ends the process; does nothing for everybody else.
pub(super) fn answer() {
    CompleteEnv::with_factory(super::command).var(ASKED).complete();
}

/// Completes an argument that names a plugin, as far as the server answers in time. It is silent when that does not: the
/// words that a person has typed must stay as they are.
pub(super) fn plugins() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let words = env::args_os().skip_while(|word| word != "--").skip(1);
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return Vec::new() };
        let plugins = runtime.block_on(listed(&options(words)));
        // A name server that does not answer is not waited for.
        runtime.shutdown_background();
        candidates(&plugins.unwrap_or_default(), &begun.to_string_lossy())
    })
}

/// The options of a command that is still being typed.
fn options(words: impl Iterator<Item = OsString>) -> GlobalOptions {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok();
    let given = matches.and_then(|matches| GlobalOptions::from_arg_matches(&matches).ok());
    given.unwrap_or_default().or_from(|name| env::var_os(name))
}

async fn listed(options: &GlobalOptions) -> Option<Vec<Plugin>> {
    let ask = async { all_plugins(&Api::connect(options).await?, &ListPluginsRequest::default()).await };
    timeout(PATIENCE, ask).await.ok()?.ok()
}

/// The manifest ids of plugins that have one to themselves, and the ids of those that begin so.
fn candidates(plugins: &[Plugin], begun: &str) -> Vec<CompletionCandidate> {
    let names: Vec<_> = plugins.iter().map(manifest_id).collect();
    let is_only = |id: &str| names.iter().filter(|other| other.as_deref() == Some(id)).count() == 1;
    let words = plugins.iter().zip(&names).flat_map(|(plugin, name)| {
        let name = name.as_deref().filter(|id| is_only(id));
        let id = (name.is_none() || !begun.is_empty()).then_some(plugin.id.as_str());
        name.into_iter().chain(id).map(move |word| (word, plugin))
    });
    let fitting = words.filter(|(word, _)| word.starts_with(begun) && !word.contains(char::is_control));
    let about = |plugin: &Plugin| format!("{}, {}", sanitize(&plugin.name), show::state_word(show::state_of(plugin)));
    fitting.map(|(word, plugin)| CompletionCandidate::new(word).help(Some(about(plugin).into()))).collect()
}

#[cfg(test)]
mod tests;
