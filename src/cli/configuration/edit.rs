//! `plugd config edit`: the configuration in the user's own editor.

use std::{
    env,
    ffi::OsString,
    fs,
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tokio::process::Command;

use super::{Context, read, write};
use crate::{
    cli::{failure::Failure, usage},
    files,
};

/// What a shell ends with that could not run a program.
const NEVER_STARTED: [i32; 2] = [126, 127];

/// Lets the user change a configuration, and stores it if nobody else did meanwhile.
///
/// # Errors
/// There is no editor, what it leaves is not JSON, or the plugin refuses it. The file is then left for another try.
pub(super) async fn edit(context: &Context, id: String) -> Result<(), Failure> {
    let editor = editor()?;
    let stored = read(&context.api, id.clone()).await?;
    let text = format!("{:#}\n", Value::Object(stored.values.clone()));
    let file = create(&id, &text)?;
    run_editor(editor, &file, &text).await?;
    let left = files::read_text(&file, files::MAX_TEXT).map_err(|error| kept(Failure::from(error), &file))?;
    let values = match serde_json::from_str(&left) {
        Ok(Value::Object(values)) => values,
        _ => return Err(kept(usage("this is no longer a JSON object"), &file)),
    };
    if values == stored.values {
        fs::remove_file(&file)?;
        context.ui.note("Nothing was changed.");
        return Ok(());
    }
    write(context, id, values, Some(stored.revision)).await.map_err(|failure| kept(failure, &file))?;
    Ok(fs::remove_file(&file)?)
}

/// A new file that only this user can read.
fn create(id: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = env::temp_dir().join(format!("plugd-{id}-{:016x}.json", rand::random::<u64>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

/// The user's editor. One that nobody chose needs a terminal; one that somebody did may be a script.
fn editor() -> Result<OsString, Failure> {
    let chosen = ["VISUAL", "EDITOR"].iter().find_map(|name| env::var_os(name).filter(|editor| !editor.is_empty()));
    match chosen {
        Some(editor) => Ok(editor),
        None if io::stdin().is_terminal() && io::stdout().is_terminal() => Ok("vi".into()),
        None => Err(usage("there is no terminal for an editor, and neither VISUAL nor EDITOR names a program")
            .hint("change it with `plugd config set ID KEY=VALUE`, or all of it with --json")),
    }
}

/// Runs the editor through the shell, as it may have arguments.
async fn run_editor(editor: OsString, file: &Path, text: &str) -> Result<(), Failure> {
    let (name, mut command) = (editor.clone(), Command::new("sh"));
    command.arg("-c").arg("exec $PLUGD_EDITOR \"$1\"").arg("sh").arg(file).env("PLUGD_EDITOR", editor);
    let status = command.status().await?;
    if status.success() {
        return Ok(());
    }
    let hint = "set VISUAL or EDITOR to one that works";
    let is_untouched = || fs::read_to_string(file).is_ok_and(|left| left == text);
    if status.code().is_some_and(|code| NEVER_STARTED.contains(&code)) && is_untouched() {
        fs::remove_file(file)?;
        return Err(usage(format!("the editor {} can't be run", name.display())).hint(hint));
    }
    Err(kept(Failure::new(format!("the editor failed: {status}")).hint(hint), file))
}

fn kept(failure: Failure, file: &Path) -> Failure {
    failure.and(format_args!("your text is in {}", file.display()))
}
