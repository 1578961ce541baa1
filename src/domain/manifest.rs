//! The manifest of a plugin: what it says of itself, read strictly and given back in one normalised form.

mod check;
mod rules;

use std::{collections::HashSet, sync::OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::check::Checker;
use super::{
    configuration::ConfigurationSchema,
    error::Result,
    events::EventCatalog,
    json::{self, Unreadable},
    text,
};

/// Most bytes of a manifest as JSON, whatever way it comes (CONTRACT 6): 1 MiB.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Most bytes that a plugin takes on the wire for its manifest: half of what clients take, with room for the rest.
const MAX_CARRIED: usize = json::MAX_MESSAGE / 2 - 64 * 1024;

/// What a plugin says of itself (CONTRACT 5). It serialises to the normalised form of CONTRACT 5.3, and what was once
/// accepted can always be deserialised; [`Manifest::parse`] and [`Manifest::from_value`] read what is new.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The plugin's own id; not the installation's.
    pub id: String,
    pub author: String,
    /// Its name, for a person.
    pub name: String,
    /// What it does, for a person; may be empty.
    pub description: String,
    /// Its version; for display only; may be empty.
    pub version: String,
    /// What a supervised plugin is started with, looked up on the path unless it has a slash; may be empty.
    pub command: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Names of the events that it wants, each once, in its own order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events_consumed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What can be configured; none if there are no fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_schema: Option<ConfigurationSchema>,
    /// What it offers to the application, in the normalised form (CONTRACT 5.6): plugd itself reads nothing of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Value>,
    #[serde(skip)]
    pub encoded: Encoded,
}

/// What a manifest is on some wire, once somebody has sent it. Nobody changes a manifest that was sent, but somebody may change a
/// clone of it: a clone begins without this.
#[derive(Debug, Default)]
pub struct Encoded(OnceLock<Bytes>);

impl Clone for Encoded {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Encoded {
    /// It is no part of the manifest.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The account that a plugin asks for at the application's own API (CONTRACT 5.4, 13). Permissions are checked by who
/// grants them, when the plugin asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    pub handle: String,
    pub name: String,
    pub permissions: Vec<String>,
    /// What the account says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// More, as the application likes it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    pub text: String,
    pub url: String,
}

impl Manifest {
    /// Reads a manifest from JSON, with or without a byte order mark before it.
    ///
    /// # Errors
    /// `INVALID_MANIFEST`: it is not JSON, or breaks a rule. All problems are told: one line of the message and one
    /// violation (`manifest.<path>`) each.
    pub fn parse(json: &[u8], catalog: &EventCatalog) -> Result<Self> {
        let mut checker = Checker::new(catalog);
        match text::decode(json).map(|text| json::parse(text.as_bytes())) {
            Ok(Ok(value)) => return Self::read(value, checker),
            Ok(Err(Unreadable::TooDeep)) => checker.add("", too_deep()),
            Ok(Err(Unreadable::Inexact(inexact))) => {
                checker.add(&inexact.path, format!("is wrong: {}.", inexact.description()));
            }
            Ok(Err(Unreadable::NotJson(error))) => checker.add("", format!("is not valid JSON: {error}.")),
            Err(error) => checker.add("", format!("is not valid JSON: {error}.")),
        }
        checker.outcome().map(|()| Self::default())
    }

    /// Reads a manifest from a JSON value. Unknown keys are dropped, `null` counts as absent.
    pub fn from_value(value: Value, catalog: &EventCatalog) -> Result<Self> {
        Self::read(value, Checker::new(catalog))
    }

    /// The keys that a manifest and all that is in it can have; some come more than once.
    #[must_use]
    pub fn keys() -> Vec<&'static str> {
        rules::keys()
    }

    /// The normalised form (CONTRACT 5.3).
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            // A struct whose keys are all strings always becomes an object.
            _ => Map::new(),
        }
    }

    /// The normalised form as this function encodes it, which is asked once.
    pub fn encoded(&self, encode: impl FnOnce(&Map<String, Value>) -> Vec<u8>) -> Bytes {
        self.encoded.0.get_or_init(|| encode(&self.to_map()).into()).clone()
    }

    fn read(mut value: Value, mut checker: Checker<'_>) -> Result<Self> {
        let bytes = value.to_string().len();
        if bytes > MAX_BYTES {
            checker.add("", format!("is too large: it has {bytes} bytes, of {MAX_BYTES} at most."));
        } else if json::is_too_deep(&value) {
            checker.add("", too_deep());
        } else {
            checker.check(&mut value, "", &rules::MANIFEST);
        }
        checker.outcome()?;
        let manifest: Self = serde_json::from_value(value).unwrap_or_else(|error| {
            checker.add("", format!("can't be read: {error}."));
            Self::default()
        });
        let manifest = manifest.normalised();
        manifest.check_carried(&mut checker);
        checker.outcome().map(|()| manifest)
    }

    /// An event that comes twice would be delivered twice, or block the session as it did in Storyden (CONTRACT 19,
    /// defect 11), so only the first is kept.
    fn normalised(mut self) -> Self {
        let mut seen = HashSet::new();
        self.events_consumed.retain(|name| seen.insert(name.clone()));
        self.configuration_schema = self.configuration_schema.filter(|schema| !schema.fields.is_empty());
        self
    }

    /// Every client gets the manifest: it must arrive, and as it is.
    fn check_carried(&self, checker: &mut Checker<'_>) {
        let object = self.to_map();
        if let Some(inexact) = json::inexact_in(&object) {
            checker.add(&inexact.path, format!("is wrong: {}.", inexact.description()));
        }
        let (bytes, most) = (json::size_of(&object), json::MAX_OBJECT);
        if bytes > most {
            checker.add("", format!("is too large: it takes {bytes} bytes on the wire, of {most} at most."));
        }
        // A plugin has these beside its manifest once more.
        let again = bytes + self.name.len() + self.description.len() + self.version.len();
        if again > MAX_CARRIED {
            let problem = "is too long: with it the plugin takes";
            checker.add("description", format!("{problem} {again} bytes on the wire, of {MAX_CARRIED} at most."));
        }
    }
}

fn too_deep() -> String {
    format!("is nested deeper than {} levels.", json::MAX_DEPTH)
}

#[cfg(test)]
mod tests;
