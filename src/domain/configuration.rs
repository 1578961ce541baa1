//! The configuration of a plugin: the fields that its manifest declares, and whether a value fits them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    error::{Error, Reason, Result, Violation},
    json,
};

/// The fields that a manifest declares (CONTRACT 5.5). There are no required fields, ranges, choices or secrets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigurationSchema {
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Key in the configuration. A field whose id is blank is for show: nothing is checked against it.
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub description: String,
    /// What the plugin uses when nothing is set; plugd never fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    String,
    /// A number, whole or not.
    Number,
    Boolean,
}

impl FieldType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Whether the value is of this type; `null` is of none.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

/// Checks a complete new configuration against what the manifest declares (CONTRACT 3.13): declared fields have their
/// type; others are allowed, and so are missing ones.
///
/// # Errors
/// `INVALID_CONFIGURATION` with a violation `configuration.<id>` for each field of another type, and as many lines in
/// the message; and one `configuration` where it is larger than [`json::MAX_OBJECT`].
pub fn check(schema: Option<&ConfigurationSchema>, value: &Map<String, Value>) -> Result<()> {
    let mut error = Error::new(Reason::InvalidConfiguration, String::new());
    let mut lines = Vec::new();
    for field in mismatches(schema, value) {
        let description = format!("must be a {} value.", field.kind.name());
        lines.push(format!("Field {:?} {description}", field.id));
        error.violations.push(Violation { field: format!("configuration.{}", field.id), description });
    }
    let bytes = json::size_of(value);
    if bytes > json::MAX_OBJECT {
        let description = format!("takes {bytes} bytes on the wire, of {} at most.", json::MAX_OBJECT);
        lines.push(format!("The configuration {description}"));
        error.violations.push(Violation { field: "configuration".to_owned(), description });
    }
    error.message = lines.join("\n");
    if lines.is_empty() { Ok(()) } else { Err(error) }
}

fn mismatches<'a>(
    schema: Option<&'a ConfigurationSchema>,
    value: &Map<String, Value>,
) -> impl Iterator<Item = &'a Field> {
    let fields = schema.map_or(&[][..], |schema| &schema.fields);
    let declared = fields.iter().filter(|field| !field.id.trim().is_empty());
    declared.filter(|field| value.get(&field.id).is_some_and(|value| !field.kind.fits(value)))
}

#[cfg(test)]
mod tests;
