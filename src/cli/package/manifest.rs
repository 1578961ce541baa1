//! A plugin's manifest as its author wrote it: JSON, or YAML that becomes JSON in the package (CONTRACT 5.1).

use std::path::{Path, PathBuf};

use prost_types::Struct;
use serde_json::{Map, Value};

use super::text;
use crate::{
    api::json::to_struct,
    cli::failure::{Exit, Failure},
};

/// The manifest's file in a package.
pub(in crate::cli) const MANIFEST: &str = "manifest.json";
/// Its names in YAML.
pub(in crate::cli) const YAML: [&str; 2] = ["manifest.yaml", "manifest.yml"];

/// A manifest, whatever is in it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Manifest {
    /// Its file.
    pub(super) path: PathBuf,
    /// It as an object.
    pub(in crate::cli) object: Map<String, Value>,
    /// It as it stands in a package.
    pub(super) json: Vec<u8>,
}

impl Manifest {
    /// The manifest of a folder: the one named, else the one that is there.
    ///
    /// # Errors
    /// There is none or several that differ, it can't be read, or is no object.
    pub(in crate::cli) fn of_folder(dir: &Path, named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Self::read(path);
        }
        let candidates = [MANIFEST].iter().chain(&YAML).map(|name| dir.join(name));
        let mut found = Vec::new();
        for path in candidates.filter(|path| path.is_file()) {
            found.push(Self::read(&path)?);
        }
        let mut found = found.into_iter();
        let first = found.next().ok_or_else(|| missing(dir))?;
        match found.find(|other| other.object != first.object) {
            Some(other) => Err(several(&first, &other)),
            None => Ok(first),
        }
    }

    /// Reads a manifest; by its name it is YAML or JSON.
    ///
    /// # Errors
    /// It can't be read, or is no object.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self, Failure> {
        let text = text(path)?;
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let object = if is_yaml { of_yaml(&text) } else { of_json(&text) };
        let object = object.map_err(|why| invalid(path, &why))?;
        let json = if is_yaml { format!("{:#}\n", Value::Object(object.clone())) } else { text };
        Ok(Self { path: path.to_owned(), object, json: json.into_bytes() })
    }

    /// The plugin's own id, if it has one that is a text.
    #[must_use]
    pub(in crate::cli) fn id(&self) -> Option<&str> {
        self.object.get("id")?.as_str()
    }

    /// For the API.
    ///
    /// # Errors
    /// It has a number that can't be carried.
    pub(in crate::cli) fn to_struct(&self) -> Result<Struct, Failure> {
        to_struct(&self.object).map_err(|error| invalid(&self.path, &error.to_string()))
    }
}

fn of_json(text: &str) -> Result<Map<String, Value>, String> {
    object(serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?)
}

fn of_yaml(text: &str) -> Result<Map<String, Value>, String> {
    object(serde_saphyr::from_str(text).map_err(|error| format!("it is not YAML: {error}"))?)
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("it is not an object".to_owned()),
    }
}

fn invalid(path: &Path, why: &str) -> Failure {
    Failure::new(format!("{} is no manifest: {why}", path.display()))
        .hint("`plugd new DIR` writes one to begin with")
        .exit(Exit::Refused)
}

fn missing(dir: &Path) -> Failure {
    Failure::new(format!("there is no {MANIFEST} or {} in {}", YAML[0], dir.display()))
        .hint("give the folder that holds the manifest, or the manifest with --manifest; `plugd new DIR` makes one")
        .exit(Exit::NotFound)
}

fn several(one: &Manifest, other: &Manifest) -> Failure {
    Failure::new(format!("{} and {} say different things", one.path.display(), other.path.display()))
        .hint("remove one of them, or say with --manifest which one counts")
        .exit(Exit::Conflict)
}
