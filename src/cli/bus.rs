//! `plugd publish` and `plugd call`.

use std::time::Duration;

use clap::Args;
use prost_types::Struct;
use serde_json::{Map, Value, json};

use super::{
    Context,
    client::{MARGIN, One, QUICK},
    failure::Failure,
    lifecycle::limited,
    show,
};
use crate::api::{
    json::to_struct,
    v1::{CallPluginRequest, PublishEventRequest},
};

/// Publish an event to the plugins that consume it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd publish EventThreadPublished '{\"id\": \"cc5lnd2s1s4652adtu50\"}'")]
pub(super) struct Publish {
    /// The event's name
    name: String,
    /// Its payload, a JSON object
    #[arg(value_name = "JSON", value_parser = message)]
    payload: Option<Struct>,
}

impl Publish {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let answer = context.api.call(QUICK, PublishEventRequest { name: self.name, payload: self.payload }).await?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&json!({"matched": answer.matched, "accepted": answer.accepted}))?);
        }
        if answer.matched == 0 {
            context.ui.note("The events_consumed of a plugin's manifest names the events that it gets.");
        }
        Ok(context
            .ui
            .line(&format!("plugins that consume it: {}, that took it: {}", answer.matched, answer.accepted))?)
    }
}

/// Call a method of a plugin, and print its result as JSON
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd call my-plugin robot_tool_call '{\"tool_id\": \"echo\"}'")]
pub(super) struct Call {
    #[command(flatten)]
    plugin: One,
    /// The method
    method: String,
    /// Its parameters, a JSON object
    #[arg(value_name = "JSON", value_parser = message)]
    params: Option<Struct>,
    /// How long to wait for the result
    #[arg(long, value_name = "TIME", value_parser = |text: &str| limited(text, LONGEST_CALL, "10m"), default_value = "30s")]
    timeout: Duration,
}

/// The longest that a server lets a call take.
const LONGEST_CALL: Duration = Duration::from_secs(10 * 60);

impl Call {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = CallPluginRequest {
            params: self.params,
            plugin_id: self.plugin.id(&context.api).await?,
            method: self.method,
            timeout: self.timeout.try_into().ok(),
        };
        let answer = context.api.call(self.timeout + MARGIN, request).await?;
        Ok(context.ui.json(&show::object(answer.result.as_ref()).into())?)
    }
}

/// A JSON object, as an argument. It may begin with a byte order mark, as `$(cat FILE)` gives it.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let why = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(_) => "it is not a JSON object".to_owned(),
        Err(error) => format!("it is not JSON: {error}"),
    };
    Err(format!("{why}; write it like '{{\"key\": \"value\"}}'"))
}

/// A JSON object that the API can carry, as an argument.
fn message(text: &str) -> Result<Struct, String> {
    to_struct(&object(text)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_that_can_be_carried_is_taken() {
        assert!(message("\u{feff}{\"a\": 1}").is_ok());
        for text in ["", "[]", "1", "{", "{\"id\": 9007199254740999}"] {
            assert!(message(text).is_err(), "{text}");
        }
    }
}
