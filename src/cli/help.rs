//! How the command line shows itself: the commands by what they are for.

use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};

use super::{Cli, dev};

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

/// Shown below the commands.
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

#[cfg(test)]
mod tests;
