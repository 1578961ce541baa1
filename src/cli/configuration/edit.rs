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
use crate::cli::{failure::Failure, usage};

/// Lets the user change a configuration, and stores it if nobody else did meanwhile.
///
/// # Errors
/// There is no editor, what it leaves is not JSON, or the plugin refuses it. The file is then left for another try.
pub(super) async fn edit(context: &Context, id: String) -> Result<(), Failure> {
    let editor = editor()?;
    let stored = read(&context.api, id.clone()).await?;
    let file = create(&id, &format!("{:#}\n", Value::Object(stored.values.clone())))?;
    run_editor(editor, &file).await?;
    let values = match serde_json::from_str(&fs::read_to_string(&file)?) {
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
async fn run_editor(editor: OsString, file: &Path) -> Result<(), Failure> {
    let mut command = Command::new("sh");
    command.arg("-c").arg("exec $PLUGD_EDITOR \"$1\"").arg("sh").arg(file).env("PLUGD_EDITOR", editor);
    if command.status().await?.success() {
        return Ok(());
    }
    Err(kept(Failure::new("the editor failed").hint("set VISUAL or EDITOR to one that works"), file))
}

fn kept(failure: Failure, file: &Path) -> Failure {
    failure.about(format_args!("your text is in {}", file.display()))
}
