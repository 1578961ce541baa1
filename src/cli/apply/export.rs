//! `plugd export`: a file of what there is.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    environment::escaped,
    present::{Asked, Present, only, read},
};
use crate::{
    api::v1::ActiveState,
    cli::{
        Context,
        client::Api,
        failure::Failure,
        install::{fetch, said},
        package, policy, show,
    },
    domain::text::is_unsafe,
    files::Replace,
};

/// Write a file of the plugins that there are, which `plugd apply` takes
///
/// It has everything but the tokens of external plugins: packages by their digests, or as files beside it with --packages, what
/// is active, configurations, and policies with their variables.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd export\n  plugd export --packages backup && plugd apply -f backup --server URL"
)]
pub(in crate::cli) struct Export {
    /// Where to write it [default: standard output]
    #[arg(long, short = 'O', value_name = "FILE", conflicts_with = "packages")]
    file: Option<PathBuf>,
    /// Write it and the packages into this folder: plugins.yaml, and a file named after each manifest id
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// The name of the file in the folder of the packages.
const FILE: &str = "plugins.yaml";
/// It may have secrets in it.
const PRIVATE: Replace = Replace { mode: 0o600, is_durable: false };

impl Export {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<(), Failure> {
        let asked = |present: &Present| Asked {
            configuration: present.plugin.configuration_revision.is_some(),
            policy: !present.is_external(),
        };
        let mut present = read(&context.api, asked).await?;
        present.sort_by(|one, other| one.id.cmp(&other.id));
        for one in &present {
            only(&present, &one.id, context.api.server())?;
        }
        let path = self.packages.as_ref().map(|folder| folder.join(FILE)).or(self.file);
        if let Some(path) = path.as_ref().filter(|path| path.exists() && !self.force) {
            return Err(package::exists(path));
        }
        if let Some(folder) = &self.packages {
            write_packages(&context.api, &present, folder, self.force).await?;
        }
        if present.iter().any(|present| present.policy.keys().any(|key| key.starts_with(policy::fields::VARIABLE))) {
            context.ui.warn("it has the variables of policies, which may be secrets");
        }
        let entries: Vec<_> = present.iter().map(|present| entry(present, self.packages.is_some())).collect();
        match path {
            None if context.ui.is_json() => Ok(context.ui.json(&json!({"plugins": entries}))?),
            None => Ok(context.ui.raw(yaml(context.api.server(), &entries).as_bytes())?),
            Some(path) => {
                let text = yaml(context.api.server(), &entries);
                let written = PRIVATE.file(&path, text.as_bytes());
                written.map_err(|error| Failure::from(error).about(format_args!("can't write {}", path.display())))?;
                said(context, &path, text.len())
            }
        }
    }
}

async fn write_packages(api: &Api, present: &[Present], folder: &Path, is_forced: bool) -> Result<(), Failure> {
    let made = fs::create_dir_all(folder);
    made.map_err(|error| Failure::from(error).about(format_args!("can't make {}", folder.display())))?;
    for present in present.iter().filter(|present| !present.is_external()) {
        let (_, bytes) = fetch(api, present.plugin.id.clone()).await?;
        package::write(&folder.join(file_name(present)), &bytes, is_forced)?;
    }
    Ok(())
}

fn file_name(present: &Present) -> String {
    format!("{}.zip", present.id)
}

/// What a file says of a plugin.
fn entry(present: &Present, has_package: bool) -> Value {
    let plugin = &present.plugin;
    let mut entry = Map::from_iter([("id".to_owned(), present.id.as_str().into())]);
    if present.is_external() {
        entry.insert("external".to_owned(), show::object(Some(&plugin.manifest_struct())).into());
    } else {
        if has_package {
            entry.insert("package".to_owned(), format!("./{}", file_name(present)).into());
        }
        entry.insert("digest".to_owned(), plugin.package_digest().into());
        entry.insert("active".to_owned(), (plugin.active_state() == ActiveState::Active).into());
    }
    if plugin.configuration_revision.is_some() {
        entry.insert("configuration".to_owned(), escaped(&present.configuration.clone().into()));
    }
    if !present.policy.is_empty() {
        entry.insert("policy".to_owned(), escaped(&present.policy.clone().into()));
    }
    entry.into()
}

/// The keys of an entry, in the order in which they are read best.
const KEYS: [&str; 7] = ["id", "package", "digest", "external", "active", "configuration", "policy"];

/// The file, with a value a line: JSON is YAML.
pub(super) fn yaml(server: &str, entries: &[Value]) -> String {
    let mut text = format!("# The plugins of {server}, written by `plugd export`.\n");
    if entries.is_empty() {
        return text + "plugins: []\n";
    }
    text += "plugins:\n";
    for entry in entries {
        let mut lead = "  - ";
        for key in KEYS {
            let _ = match &entry[key] {
                Value::Null if key == "package" && entry["digest"].is_string() => {
                    writeln!(text, "{lead}# package: with `plugd export --packages DIR`")
                }
                Value::Null => continue,
                Value::Object(fields) if !fields.is_empty() => write_fields(&mut text, lead, key, fields),
                value => writeln!(text, "{lead}{key}: {}", scalar(value)),
            };
            lead = "    ";
        }
    }
    text
}

fn write_fields(text: &mut String, lead: &str, key: &str, fields: &Map<String, Value>) -> std::fmt::Result {
    writeln!(text, "{lead}{key}:")?;
    fields
        .iter()
        .try_for_each(|(field, value)| writeln!(text, "      {}: {}", scalar(&field.as_str().into()), scalar(value)))
}

/// Words that some readers of YAML take for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A value on one line: a text that is like a name as it stands, all else as JSON.
fn scalar(value: &Value) -> String {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/".contains(letter);
    match value {
        Value::String(text)
            if text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '.')
                && text.chars().all(is_of_a_name)
                && !WORDS.contains(&text.to_lowercase().as_str()) =>
        {
            text.clone()
        }
        value => value.to_string().chars().map(printable).collect(),
    }
}

/// A letter, or an escape in its place if YAML does not have it as it stands. JSON has such letters in texts only.
fn printable(letter: char) -> String {
    match u32::from(letter) {
        code @ ..=0xffff if is_unsafe(letter) => format!("\\u{code:04x}"),
        code if is_unsafe(letter) => format!("\\U{code:08x}"),
        _ => letter.to_string(),
    }
}
