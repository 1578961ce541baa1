//! `plugd new`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    failure::Failure,
    file,
    package::MANIFEST,
    ui::{Ui, quoted},
    usage,
};
use crate::domain::{events::EventCatalog, manifest::Manifest};

/// Make the folder of a new plugin, with a manifest to begin with
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd new my-plugin --command python3 -- main.py\n  plugd dev my-plugin")]
pub(super) struct New {
    /// The folder; the plugin is named after it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Program that runs the plugin: one in the folder begins with ./
    #[arg(long, value_name = "PROGRAM", default_value = "./plugin")]
    command: String,
    /// Who writes it, in letters, digits and hyphens [default: the user's name]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Replace a manifest that is there
    #[arg(long)]
    force: bool,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

impl New {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let (id, name) = names(&self.dir)?;
        let user = || slug(&env::var("USER").unwrap_or_default()).unwrap_or_else(|| "me".to_owned());
        let mut manifest = json!({
            "id": id,
            "author": self.author.unwrap_or_else(user),
            "name": name,
            "description": "",
            "version": "0.1.0",
            "command": self.command,
        });
        if !self.args.is_empty() {
            manifest["args"] = self.args.into();
        }
        if let Err(error) = Manifest::from_value(manifest.clone(), &EventCatalog::any()) {
            return Err(Failure::from(error).hint("name a folder with fewer letters, or an --author like jane-doe"));
        }
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(MANIFEST);
        file::write(&path, format!("{manifest:#}\n").as_bytes(), self.force)?;
        if ui.is_json() {
            return Ok(ui.json(&json!({"file": path, "manifest": manifest}))?);
        }
        ui.line(&path.display().to_string())?;
        ui.note(&format!("Write the program, then run it with `plugd dev {}`.", quoted(&self.dir)));
        Ok(())
    }
}

/// The manifest id and the name of a plugin in this folder.
fn names(dir: &Path) -> Result<(String, String), Failure> {
    let full = std::path::absolute(dir)?;
    let name = full.components().next_back().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    match slug(&name) {
        Some(id) => Ok((id, name)),
        None => {
            Err(usage(format!("no plugin can be named after {name:?}")).hint("name a folder with letters or digits"))
        }
    }
}

/// A text in lower-case letters, digits and single hyphens between them, as an id has to be.
fn slug(text: &str) -> Option<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_lowercase();
    (!slug.is_empty()).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_letters_digits_and_single_hyphens() {
        assert_eq!(slug("My  Plugin_2!").as_deref(), Some("my-plugin-2"));
        assert_eq!(slug("…"), None);
    }
}
