//! `plugd new`: the folder of a plugin that runs, and a test of its own.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    failure::Failure,
    file,
    package::{MANIFEST, YAML},
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
    #[arg(long, value_enum, hide_possible_values = false)]
    template: Option<Template>,
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

impl New {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let template = self.template()?;
        let manifest = self.manifest(template)?;
        let paths = self.write(template, &manifest)?;
        if ui.is_json() {
            return Ok(ui.json(&json!({"file": paths[0], "files": paths, "manifest": manifest}))?);
        }
        for path in paths {
            ui.line(&path.display().to_string())?;
        }
        let dir = quoted(&self.dir);
        let Some((file, test)) = template.next() else {
            ui.note(&format!("Write the program, then run it with `plugd dev {dir}`."));
            return Ok(());
        };
        ui.note(&format!("Run it:     plugd dev {dir}"));
        ui.note(&format!("Test it:    (cd {dir} && {test})"));
        ui.note(&format!("Change it:  {}", self.dir.join(file).display()));
        Ok(())
    }

    /// The templates bring their own programs.
    fn template(&self) -> Result<Template, Failure> {
        match (self.template, &self.command) {
            (None, None) => Ok(Template::Python),
            (None | Some(Template::None), _) => Ok(Template::None),
            (Some(template), None) => Ok(template),
            (Some(_), Some(command)) => {
                Err(usage(format!("a template has a program of its own, and {command:?} is another"))
                    .hint("leave out --command, or say --template none"))
            }
        }
    }

    /// The manifest, which any server takes.
    fn manifest(&self, template: Template) -> Result<Value, Failure> {
        let (id, name) = names(&self.dir)?;
        let user = || slug(&env::var("USER").unwrap_or_default()).unwrap_or_else(|| "me".to_owned());
        let mut manifest = Map::from_iter([
            ("id".to_owned(), id.into()),
            ("author".to_owned(), self.author.clone().unwrap_or_else(user).into()),
            ("name".to_owned(), name.into()),
            ("description".to_owned(), "".into()),
            ("version".to_owned(), "0.1.0".into()),
            ("command".to_owned(), self.command.as_deref().unwrap_or(template.command()).into()),
        ]);
        let args: Vec<&str> = template.args().iter().copied().chain(self.args.iter().map(String::as_str)).collect();
        if !args.is_empty() {
            manifest.insert("args".to_owned(), args.into());
        }
        manifest.extend(template.about().as_ref().and_then(Value::as_object).cloned().unwrap_or_default());
        let manifest = Value::Object(manifest);
        if let Err(error) = Manifest::from_value(manifest.clone(), &EventCatalog::any()) {
            return Err(Failure::from(error).hint("name a folder with fewer letters, or an --author like jane-doe"));
        }
        Ok(manifest)
    }

    /// Writes the manifest and the template's files, or none of them if one is there already, or a manifest in YAML.
    fn write(&self, template: Template, manifest: &Value) -> Result<Vec<PathBuf>, Failure> {
        let names = template.files().iter().map(|file| file.name);
        let paths: Vec<PathBuf> = [MANIFEST].into_iter().chain(names).map(|name| self.dir.join(name)).collect();
        let in_yaml = YAML.map(|name| self.dir.join(name));
        let exists = |path: &&PathBuf| path.symlink_metadata().is_ok();
        if let Some(path) = paths.iter().chain(&in_yaml).find(|path| !self.force && exists(path)) {
            return Err(file::exists(path));
        }
        fs::create_dir_all(&self.dir)?;
        file::write(&paths[0], format!("{manifest:#}\n").as_bytes(), self.force)?;
        for (file, path) in template.files().iter().zip(&paths[1..]) {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            file::write(path, file.text.as_bytes(), self.force)?;
            if file.is_program {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(paths)
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

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Template {
    /// Python 3.8 or later, without any package
    Python,
    /// Node 20.10 or later, without any package
    Node,
    /// Rust, built by Cargo
    Rust,
    /// A manifest only
    None,
}

/// A file of a template.
#[derive(Debug)]
struct File {
    name: &'static str,
    text: &'static str,
    /// Is it a program?
    is_program: bool,
}

macro_rules! files {
    ($folder:literal: $($name:literal),+) => {
        &[$(File { name: $name, text: include_str!(concat!("new/templates/", $folder, "/", $name)), is_program: false }),+]
    };
}

const PYTHON: &[File] = files!("python": "main.py", "plugd.py", "test_main.py");
const NODE: &[File] = files!("node": "main.js", "package.json", "plugd.js", "plugin.js", "plugin.test.js");
const RUST: &[File] = &[
    File { name: ".gitignore", text: "/target/\n/plugin\n", is_program: false },
    File { name: "Cargo.toml", text: include_str!("new/templates/rust/Cargo.toml"), is_program: false },
    File { name: "build.sh", text: include_str!("new/templates/rust/build.sh"), is_program: true },
    File { name: "src/main.rs", text: include_str!("new/templates/rust/src/main.rs"), is_program: false },
    File { name: "src/plugd.rs", text: include_str!("new/templates/rust/src/plugd.rs"), is_program: false },
];

impl Template {
    /// Its files, beside the manifest.
    const fn files(self) -> &'static [File] {
        match self {
            Self::Python => PYTHON,
            Self::Node => NODE,
            Self::Rust => RUST,
            Self::None => &[],
        }
    }

    /// The command in its manifest.
    const fn command(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
            Self::Rust | Self::None => "./plugin",
        }
    }

    /// The arguments of the command. Node has its WebSocket behind a flag before version 22; later ones take the flag, too.
    const fn args(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["main.py"],
            Self::Node => &["--experimental-websocket", "main.js"],
            Self::Rust | Self::None => &[],
        }
    }

    /// What else its manifest has: what its program knows to handle.
    fn about(self) -> Option<Value> {
        let greeting = json!({
            "type": "string",
            "id": "greeting",
            "label": "Greeting",
            "description": "The word that comes first.",
            "default": "Hello",
        });
        (self != Self::None).then(
            || json!({"events_consumed": ["EventThreadPublished"], "configuration_schema": {"fields": [greeting]}}),
        )
    }

    /// The file that says what the plugin does, and the command that tests it within its folder.
    const fn next(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Python => Some(("main.py", "python3 -m unittest")),
            Self::Node => Some(("plugin.js", "node --test")),
            Self::Rust => Some(("src/main.rs", "cargo test")),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests;
