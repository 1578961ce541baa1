//! How the command line shows itself: the commands by what they are for, and `plugd completions`, whose scripts ask plugd
//! itself what may follow, the plugins of the server too.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write,
    time::Duration,
};

use clap::{Arg, Args, Command, CommandFactory, FromArgMatches};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use tokio::{runtime::Builder, time::timeout};

use super::{
    Cli,
    client::{Api, all_plugins},
    dev,
    failure::Failure,
    options::Options,
    show::{self, manifest_id},
    ui::{Ui, sanitize},
    usage,
};
use crate::api::v1::{ListPluginsRequest, Plugin};

/// The commands, in the order in which a newcomer needs them.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Plugins", &["list", "get", "install", "update", "rollback", "download", "delete"]),
    ("Running them", &["activate", "deactivate", "restart", "watch", "logs", "config"]),
    ("External plugins, which somebody else runs", &["register", "update-manifest", "rotate-token"]),
    ("Messages", &["publish", "call"]),
    ("Writing a plugin", &["new", "validate", "package", "dev"]),
    ("The server", &["serve", "rest", "token"]),
    ("The command line", &["completions", "help"]),
];

const EXAMPLES: &str = "\
Examples:
  plugd serve                              serve on 127.0.0.1:8000; the first start writes ./data/admin.token
  plugd new my-plugin && plugd dev my-plugin
  plugd install my-plugin --activate       a folder with a manifest, a package or the URL of one
  plugd list
  plugd logs -f my-plugin
  plugd watch -o json
`plugd COMMAND --help` has examples of each.";

/// The command line with its commands in groups.
pub(super) fn command() -> Command {
    let mut command = Cli::command();
    command.build();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{}\n{{options}}\n\n{EXAMPLES}{{after-help}}",
        groups(&command),
        heading(&command, "Global options"),
    );
    let offered = |arg: Arg| if dev::is_refused(arg.get_id().as_str()) { arg.hide(true) } else { arg };
    Cli::command().help_template(template).mut_subcommand("dev", |dev| dev.mut_args(offered))
}

fn groups(command: &Command) -> String {
    let width = command.get_subcommands().map(|one| one.get_name().len()).max().unwrap_or_default();
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{}", heading(command, title));
        for one in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let about = one.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {:width$}  {about}", one.get_name());
        }
        text.push('\n');
    }
    text
}

fn heading(command: &Command, title: &str) -> String {
    let style = command.get_styles().get_header();
    format!("{style}{title}:{style:#}")
}

/// The variable in which a script says for which shell it asks.
const ASKED: &str = "PLUGD_COMPLETE";
/// How long somebody who pressed a key is kept waiting for the names of plugins.
const PATIENCE: Duration = Duration::from_millis(700);

/// Print completions for a shell
///
/// They know the commands, the options, and the plugins of the server.
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
    CompleteEnv::with_factory(command).var(ASKED).complete();
}

/// Completes an argument that names a plugin, as far as the server answers in time. Silent when it does not: the words that
/// a person has typed must stay as they are.
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
fn options(words: impl Iterator<Item = OsString>) -> Options {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok();
    let given = matches.and_then(|matches| Options::from_arg_matches(&matches).ok());
    given.unwrap_or_default().or_from(|name| env::var_os(name))
}

async fn listed(options: &Options) -> Option<Vec<Plugin>> {
    let ask = async { all_plugins(&Api::connect(options).await?, &ListPluginsRequest::default()).await };
    timeout(PATIENCE, ask).await.ok()?.ok()
}

/// The manifest ids of plugins that have one to themselves, and the ids of those that begin so.
fn candidates(plugins: &[Plugin], begun: &str) -> Vec<CompletionCandidate> {
    let is_only = |id: &str| plugins.iter().filter(|other| manifest_id(other) == Some(id)).count() == 1;
    let words = plugins.iter().flat_map(|plugin| {
        let name = manifest_id(plugin).filter(|id| is_only(id));
        let id = (name.is_none() || !begun.is_empty()).then_some(plugin.id.as_str());
        name.into_iter().chain(id).map(move |word| (word, plugin))
    });
    let fitting = words.filter(|(word, _)| word.starts_with(begun) && !word.contains(char::is_control));
    fitting.map(|(word, plugin)| CompletionCandidate::new(word).help(Some(about(plugin).into()))).collect()
}

fn about(plugin: &Plugin) -> String {
    format!("{}, {}", sanitize(&plugin.name), show::state_word(show::state_of(plugin)))
}

#[cfg(test)]
mod tests;
