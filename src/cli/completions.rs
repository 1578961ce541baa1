//! `plugd completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, failure::Failure, ui::Ui};

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd completions bash > /etc/bash_completion.d/plugd")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "plugd", &mut script);
        Ok(ui.raw(&script)?)
    }
}
