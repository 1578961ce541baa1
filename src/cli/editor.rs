//! A text in the user's own editor.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use tokio::process::Command;

use super::{failure::Failure, usage};
use crate::files;

/// What a shell ends with that could not run a program.
const NEVER_STARTED: [i32; 2] = [126, 127];

/// The user's editor. One that nobody chose needs a terminal; one that somebody did may be a script.
pub(super) fn chosen() -> Result<OsString, Failure> {
    let chosen = ["VISUAL", "EDITOR"].iter().find_map(|name| env::var_os(name).filter(|editor| !editor.is_empty()));
    match chosen {
        Some(editor) => Ok(editor),
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => Ok("vi".into()),
        None => Err(usage("there is no terminal for an editor, and neither VISUAL nor EDITOR names a program")
            .hint("change it with `plugd config set ID KEY=VALUE`, or all of it with --json")),
    }
}

/// A text that the user has changed, in a file that stays until it is no longer needed.
#[derive(Debug)]
pub(super) struct Draft(PathBuf);

impl Draft {
    /// Has the user change a text, in a new file that only they can read.
    pub(super) async fn edit(editor: OsString, name: &str, text: &str) -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("plugd-{name}-{:016x}.json", rand::random::<u64>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        let draft = Self(path);
        draft.run(editor, text).await.map(|()| draft)
    }

    /// Runs the editor through the shell, as it may have arguments.
    async fn run(&self, editor: OsString, text: &str) -> Result<(), Failure> {
        let (name, mut command) = (editor.clone(), Command::new("sh"));
        command.arg("-c").arg("exec $PLUGD_EDITOR \"$1\"").arg("sh").arg(&self.0).env("PLUGD_EDITOR", editor);
        let status = command.status().await?;
        if status.success() {
            return Ok(());
        }
        let hint = "set VISUAL or EDITOR to one that works";
        let is_untouched = || fs::read_to_string(&self.0).is_ok_and(|left| left == text);
        if status.code().is_some_and(|code| NEVER_STARTED.contains(&code)) && is_untouched() {
            fs::remove_file(&self.0)?;
            return Err(usage(format!("the editor {} can't be run", name.display())).hint(hint));
        }
        Err(self.kept(Failure::new(format!("the editor failed: {status}")).hint(hint)))
    }

    /// What the user left.
    pub(super) fn text(&self) -> Result<String, Failure> {
        files::read_text(&self.0, files::MAX_TEXT).map_err(|error| self.kept(error.into()))
    }

    /// A failure after which the text is left for another try.
    pub(super) fn kept(&self, failure: Failure) -> Failure {
        failure.and(format_args!("your text is in {}", self.0.display()))
    }

    /// The text is no longer needed.
    pub(super) fn remove(self) -> Result<(), Failure> {
        Ok(fs::remove_file(self.0)?)
    }
}
