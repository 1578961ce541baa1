//! What a plugin asks to be, and to be allowed, at the application's own API (CONTRACT 5.4, 13).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{problems::Problems, reader::Object};

/// The account that a plugin asks for. Permissions are checked by who grants them, when the plugin asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Handle of the account.
    pub handle: String,
    /// Name of the account.
    pub name: String,
    /// Names of the permissions that it asks for.
    pub permissions: Vec<String>,
    /// What the account says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// Links that the account shows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// More, as the application likes it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// A link that an account shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// What it says.
    pub text: String,
    /// Where it leads.
    pub url: String,
}

impl Access {
    pub(super) fn read(mut object: Object, problems: &mut Problems) -> Self {
        Self {
            handle: object.text_or_empty("handle", problems),
            name: object.text_or_empty("name", problems),
            permissions: object.texts("permissions", problems),
            bio: object.text("bio", problems),
            links: object.objects("links", problems).into_iter().map(|link| Link::read(link, problems)).collect(),
            metadata: object.object("metadata", problems).map(Object::into_map).unwrap_or_default(),
        }
    }
}

impl Link {
    fn read(mut object: Object, problems: &mut Problems) -> Self {
        Self { text: object.text_or_empty("text", problems), url: object.text_or_empty("url", problems) }
    }
}
