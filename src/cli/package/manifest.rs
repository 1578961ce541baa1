//! The manifest of a folder or of an external plugin, in JSON or YAML.

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
/// Its names in YAML, which becomes JSON in the package (CONTRACT 5.1).
pub(in crate::cli) const YAML: [&str; 2] = ["manifest.yaml", "manifest.yml"];

/// A manifest, whatever is in it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct ManifestFile {
    /// The file that it is in.
    pub(super) path: PathBuf,
    /// The manifest as an object.
    pub(in crate::cli) object: Map<String, Value>,
    /// The manifest as it stands in a package.
    pub(super) json: Vec<u8>,
}

impl ManifestFile {
    /// The manifest of a folder: the one named, else the only one that is there.
    pub(in crate::cli) fn of_folder(dir: &Path, named: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = named {
            return Self::read(path);
        }
        let candidates = [MANIFEST].iter().chain(&YAML).map(|name| dir.join(name));
        let found = candidates.filter(|path| path.is_file()).map(|path| Self::read(&path));
        let mut found = found.collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = found.next().ok_or_else(|| missing(dir))?;
        match found.find(|other| other.object != first.object) {
            Some(other) => Err(several(&first, &other)),
            None => Ok(first),
        }
    }

    /// Reads a manifest; by its name it is YAML or JSON.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self, Failure> {
        let text = text(path)?;
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let value = match is_yaml {
            true => serde_saphyr::from_str(&text).map_err(|error| format!("it is not YAML: {error}")),
            false => serde_json::from_str(&text).map_err(|error| format!("it is not JSON: {error}")),
        };
        let object = match value {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(invalid(path, "it is not an object")),
            Err(why) => return Err(invalid(path, &why)),
        };
        let json = if is_yaml { format!("{:#}\n", Value::Object(object.clone())) } else { text };
        Ok(Self { path: path.to_owned(), object, json: json.into_bytes() })
    }

    /// The plugin's own id, if it has one that is a text.
    pub(in crate::cli) fn id(&self) -> Option<&str> {
        self.object.get("id")?.as_str()
    }

    /// The manifest for the API, which does not carry every number.
    pub(in crate::cli) fn to_struct(&self) -> Result<Struct, Failure> {
        to_struct(&self.object).map_err(|error| invalid(&self.path, &error.to_string()))
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

fn several(one: &ManifestFile, other: &ManifestFile) -> Failure {
    Failure::new(format!("{} and {} say different things", one.path.display(), other.path.display()))
        .hint("remove one of them, or say with --manifest which one counts")
        .exit(Exit::Conflict)
}
