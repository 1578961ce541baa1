//! What an operator may set: the fields of `configuration_schema` in the manifest.

use serde::Deserialize;

use crate::common::Fields;

/// The most greetings that one event gets.
const MOST_REPEATS: f64 = 10.0;

/// The configuration. Keys that are not set take the defaults that the manifest declares; others are ignored.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    greeting: String,
    repeat: f64,
    shout: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { greeting: "Hello".into(), repeat: 1.0, shout: false }
    }
}

impl Settings {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A value has the wrong type.
    pub(crate) fn parse(fields: &Fields) -> Result<Self, serde_json::Error> {
        Self::deserialize(fields)
    }

    /// The greeting for `what`.
    pub(crate) fn greet(&self, what: &str) -> String {
        let repeats = self.repeat.clamp(1.0, MOST_REPEATS) as usize;
        let greetings = vec![self.greeting.as_str(); repeats];
        let line = format!("{}, {what}!", greetings.join(" "));
        if self.shout { line.to_uppercase() } else { line }
    }
}
