//! The manifest of a plugin: what it says of itself, read strictly and given back in one normalised form.

mod access;
mod capability;
mod problems;
mod reader;
mod rules;
mod schema;
mod tool;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::{
    problems::Problems,
    reader::{Node, Object},
};
use super::{
    configuration::ConfigurationSchema,
    depth,
    error::Result,
    events::EventCatalog,
    number::{self, Inexact, Unreadable},
    size, text,
};

pub use self::{
    access::{Access, Link},
    capability::{Capability, Offer, ToolProvider},
    tool::{Annotations, Tool, Toolset},
};

/// Most bytes of a manifest as JSON, whatever way it comes (CONTRACT 6): 1 MiB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Most bytes that a plugin takes on the wire for its manifest: half of the 4 MiB that clients take, with room for the rest.
const MAX_CARRIED: usize = 2 * 1024 * 1024 - 64 * 1024;

/// Characters of a text from a manifest that a message repeats.
const MAX_QUOTED: usize = 64;

/// What a plugin says of itself (CONTRACT 5). It serialises to the normalised form of CONTRACT 5.3, and what was once
/// accepted can always be deserialised; [`Manifest::parse`] and [`Manifest::from_value`] read what is new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The plugin's own id; not the installation's.
    pub id: String,
    /// Who wrote it.
    pub author: String,
    /// Its name, for a person.
    pub name: String,
    /// What it does, for a person; may be empty.
    pub description: String,
    /// Its version; for display only; may be empty.
    pub version: String,
    /// What a supervised plugin is started with, looked up on the path unless it has a slash; may be empty.
    pub command: String,
    /// Arguments of the command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Names of the events that it wants, each once, in its own order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events_consumed: Vec<String>,
    /// The account that it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What can be configured; none if there are no fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_schema: Option<ConfigurationSchema>,
    /// What it offers to the application.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

impl Manifest {
    /// Reads a manifest from JSON, with or without a byte order mark before it.
    ///
    /// # Errors
    /// `INVALID_MANIFEST`: it is not JSON, or breaks a rule. All problems are told: one line of the message and one
    /// violation (`manifest.<path>`) each.
    pub fn parse(json: &[u8], catalog: &EventCatalog) -> Result<Self> {
        let mut problems = Problems::default();
        match text::decode(json).map(|text| number::parse(text.as_bytes())) {
            Ok(Ok(value)) => return Self::from_value(value, catalog),
            Ok(Err(Unreadable::Inexact(inexact))) => add_inexact(&inexact, &mut problems),
            Ok(Err(Unreadable::NotJson(error))) if depth::is_too_deep_to_parse(&error) => {
                problems.add("", format!("is nested deeper than {} levels.", depth::MAX_DEPTH));
            }
            Ok(Err(Unreadable::NotJson(error))) => problems.add("", format!("is not valid JSON: {error}.")),
            Err(error) => problems.add("", format!("is not valid JSON: {error}.")),
        }
        problems.outcome(Self::default())
    }

    /// Reads a manifest from a JSON value. Unknown keys are dropped, `null` counts as absent.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn from_value(value: Value, catalog: &EventCatalog) -> Result<Self> {
        let mut problems = Problems::default();
        let bytes = value.to_string().len();
        if bytes > MAX_BYTES {
            problems.add("", format!("is too large: it has {bytes} bytes, of {MAX_BYTES} at most."));
            return problems.outcome(Self::default());
        }
        if depth::is_too_deep(&value) {
            problems.add("", format!("is nested deeper than {} levels.", depth::MAX_DEPTH));
            return problems.outcome(Self::default());
        }
        let object = Node::root(value).object(&mut problems);
        let manifest = object.map(|object| Self::read(object, catalog, &mut problems)).unwrap_or_default();
        check_carried(&manifest, &mut problems);
        problems.outcome(manifest)
    }

    /// The normalised form (CONTRACT 5.3).
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            // A struct whose keys are all strings always becomes an object.
            _ => Map::new(),
        }
    }

    fn read(mut object: Object, catalog: &EventCatalog, problems: &mut Problems) -> Self {
        Self {
            id: object.checked_text("id", rules::SLUG, problems),
            author: object.checked_text("author", rules::SLUG, problems),
            name: object.checked_text("name", rules::NAME, problems),
            description: object.text_or_empty("description", problems),
            version: object.text_or_empty("version", problems),
            command: object.text_keeping("command", rules::NO_NUL, problems),
            args: object.texts_keeping("args", rules::NO_NUL, problems),
            events_consumed: read_events(&mut object, catalog, problems),
            access: object.object("access", problems).map(|access| Access::read(access, problems)),
            configuration_schema: read_schema(&mut object, problems),
            capabilities: read_capabilities(&mut object, problems),
        }
    }
}

/// Every client gets the manifest: it must arrive, and as it is.
fn check_carried(manifest: &Manifest, problems: &mut Problems) {
    let object = manifest.to_map();
    if let Some(inexact) = number::inexact_in(&object) {
        add_inexact(&inexact, problems);
    }
    let bytes = size::of_object(&object);
    if bytes > size::MAX_OBJECT {
        problems.add("", format!("is too large: it takes {bytes} bytes on the wire, of {} at most.", size::MAX_OBJECT));
    }
    // A plugin has these beside its manifest once more.
    let again = bytes + manifest.name.len() + manifest.description.len() + manifest.version.len();
    if again > MAX_CARRIED {
        problems.add(
            "description",
            format!("is too long: with it the plugin takes {again} bytes on the wire, of {MAX_CARRIED} at most."),
        );
    }
}

fn add_inexact(inexact: &Inexact, problems: &mut Problems) {
    problems.add(&inexact.path, format!("is wrong: {}.", inexact.description()));
}

/// A name that comes twice would be delivered twice, or wedge the session as it did in Storyden (CONTRACT 19, defect
/// 11), so only the first is kept.
fn read_events(object: &mut Object, catalog: &EventCatalog, problems: &mut Problems) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut names = object.texts("events_consumed", problems);
    names.retain(|name| seen.insert(name.clone()));
    for name in names.iter().filter(|name| !catalog.has(name)) {
        problems.add("events_consumed", unknown_event(name, catalog));
    }
    names
}

fn unknown_event(name: &str, catalog: &EventCatalog) -> String {
    let hint = if catalog.is_any() {
        " A name has up to 128 letters, digits, dots, underscores and hyphens, and begins with a letter."
    } else {
        ""
    };
    format!("contains unknown event {}.{hint}", quoted(name))
}

fn read_schema(object: &mut Object, problems: &mut Problems) -> Option<ConfigurationSchema> {
    schema::read(object.object("configuration_schema", problems)?, problems)
}

fn read_capabilities(object: &mut Object, problems: &mut Problems) -> Vec<Capability> {
    let objects = object.objects("capabilities", problems).into_iter();
    objects.filter_map(|object| Capability::read(object, problems)).collect()
}

/// The text in quotes, cut to what a message can bear.
fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MAX_QUOTED).collect();
    format!("{shown:?}")
}

#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod tests;
