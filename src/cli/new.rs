//! `plugd new`: the folder of a plugin that runs, and a test of its own.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    package::{self, MANIFEST, YAML},
    ui::{Ui, quoted},
    usage,
};
use crate::domain::{events::EventCatalog, manifest::Manifest};

/// Make the folder of a new plugin that runs
///
/// `plugd dev DIR` runs it as it is. With --command the program is another one, and nothing but a manifest is written.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd new my-plugin && plugd dev my-plugin\n  plugd new my-plugin --template rust\n  \
                        plugd new my-plugin --command ruby -- main.rb"
)]
pub(super) struct New {
    /// The folder; the plugin is named after it
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What the plugin is written in [default: python]
    #[arg(long, value_enum)]
    template: Option<Language>,
    /// Program that runs the plugin: one in the folder begins with ./
    #[arg(long, value_name = "PROGRAM")]
    command: Option<String>,
    /// Who writes it, in letters, digits and hyphens [default: the user's name]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENT", requires = "command")]
    args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Python 3.8 or later, without any package
    Python,
    /// Node 20.10 or later, without any package
    Node,
    /// Rust, built by Cargo
    Rust,
    /// A manifest only
    None,
}

/// The files of a new plugin.
struct Template {
    /// The manifest, in which the id, the name and the author are put.
    manifest: &'static str,
    /// Names and texts of the other files.
    files: &'static [(&'static str, &'static str)],
    /// The file that says what the plugin does, and the command that tests it within its folder.
    next: Option<(&'static str, &'static str)>,
}

macro_rules! example {
    ($folder:literal, $name:literal) => {
        include_str!(concat!("../../examples/new/", $folder, "/", $name))
    };
}

macro_rules! template {
    ($folder:literal: $($name:literal),+; $main:literal, $test:literal) => {
        Template {
            manifest: example!($folder, "manifest.json"),
            files: &[$(($name, example!($folder, $name))),+],
            next: Some(($main, $test)),
        }
    };
}

const PYTHON: Template = template!("python": "main.py", "plugd.py", "test_main.py"; "main.py", "python3 -m unittest");
const NODE: Template = template!(
    "node": "main.js", "package.json", "plugd.js", "plugin.js", "plugin.test.js";
    "plugin.js", "node --test"
);
const RUST: Template = template!(
    "rust": ".gitignore", "Cargo.toml", "build.sh", "src/main.rs", "src/plugd.rs";
    "src/main.rs", "cargo test"
);
const NONE: Template =
    Template { manifest: r#"{"description": "", "version": "0.1.0", "command": "./plugin"}"#, files: &[], next: None };

impl New {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let template = self.template()?;
        let manifest = self.manifest(&template)?;
        let paths = self.write(&template, &manifest)?;
        if ui.is_json() {
            return Ok(ui.json(&json!({"file": paths[0], "files": paths, "manifest": manifest}))?);
        }
        for path in paths {
            ui.line(&path.display().to_string())?;
        }
        let dir = quoted(&self.dir);
        let Some((file, test)) = template.next else {
            ui.note(&format!("Write the program, then run it with `plugd dev {dir}`."));
            return Ok(());
        };
        ui.note(&format!("Run it:     plugd dev {dir}"));
        ui.note(&format!("Test it:    (cd {dir} && {test})"));
        ui.note(&format!("Change it:  {}", self.dir.join(file).display()));
        Ok(())
    }

    fn template(&self) -> Result<Template, Failure> {
        match (self.template, &self.command) {
            (None, None) | (Some(Language::Python), None) => Ok(PYTHON),
            (Some(Language::Node), None) => Ok(NODE),
            (Some(Language::Rust), None) => Ok(RUST),
            (None | Some(Language::None), _) => Ok(NONE),
            (Some(_), Some(command)) => {
                Err(usage(format!("a template has a program of its own, and {command:?} is another"))
                    .hint("leave out --command, or say --template none"))
            }
        }
    }

    /// The manifest, which any server takes.
    fn manifest(&self, template: &Template) -> Result<Value, Failure> {
        let (id, name) = names(&self.dir)?;
        let author = self.author.clone().or_else(|| slug(&env::var("USER").ok()?));
        let mut manifest: Value = serde_json::from_str(template.manifest).map_err(io::Error::from)?;
        manifest["id"] = id.into();
        manifest["name"] = name.into();
        manifest["author"] = author.unwrap_or_else(|| "me".to_owned()).into();
        if let Some(command) = &self.command {
            manifest["command"] = command.as_str().into();
            manifest["args"] = self.args.clone().into();
        }
        if let Err(error) = Manifest::from_value(manifest.clone(), &EventCatalog::any()) {
            return Err(Failure::from(error).hint("name a folder with fewer letters, or an --author like jane-doe"));
        }
        Ok(manifest)
    }

    /// Writes the manifest and the template's files, or none of them if one is there already, or a manifest in YAML.
    fn write(&self, template: &Template, manifest: &Value) -> Result<Vec<PathBuf>, Failure> {
        let manifest = format!("{manifest:#}\n");
        let files = [(MANIFEST, &*manifest)].into_iter().chain(template.files.iter().copied());
        let mut names = files.clone().map(|(name, _)| name).chain(YAML).map(|name| self.dir.join(name));
        if let Some(path) = names.find(|path| !self.force && path.symlink_metadata().is_ok()) {
            return Err(package::exists(&path));
        }
        let write = |(name, text): (&str, &str)| {
            let path = self.dir.join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            package::write(&path, text.as_bytes(), self.force)?;
            if text.starts_with("#!") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
            Ok(path)
        };
        files.map(write).collect()
    }
}

/// The manifest id and the name of a plugin in this folder.
fn names(dir: &Path) -> Result<(String, String), Failure> {
    let full = std::path::absolute(dir)?;
    let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
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
