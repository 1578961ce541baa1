//! `robot_run`: whatever goes wrong, the plugin gets an answer that says so, with a session (CONTRACT 11.4).
//!
//! What a plugin must not ask, or asks badly, never reaches the application. What the application answers is held to
//! the documented shape: the Go SDK can't decode anything else, and its call would hang for ten minutes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{id::is_xid, manifest::Manifest};

/// What a plugin's manifest has to ask for, or [`ANYTHING`].
const PERMISSION: &str = "USE_ROBOTS";
/// The permission that has all others in it.
const ANYTHING: &str = "ADMINISTRATOR";

/// What is left of an answer once what is not documented is gone.
#[derive(Deserialize, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Output {
    status: Status,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<Attention>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Completed,
    Blocked,
    Failed,
}

#[derive(Deserialize, Serialize)]
struct Attention {
    reason: Why,
    message: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Why {
    MissingInput,
    NeedsApproval,
    PolicyBlocked,
    ToolUnavailable,
    Error,
}

/// The session that the answer names: what the plugin asked for if that is an xid, else a new one.
pub(super) fn session(params: &Map<String, Value>) -> String {
    let asked = params.get("session_id").and_then(Value::as_str).filter(|text| is_xid(text));
    asked.map_or_else(|| xid::new().to_string(), str::to_owned)
}

/// Why this plugin may not ask this, if it may not.
pub(super) fn check(manifest: &Manifest, params: &Map<String, Value>) -> Result<(), String> {
    let access = manifest.access.as_ref().ok_or("manifest does not request access, which running robots needs")?;
    if !access.permissions.iter().any(|name| name == PERMISSION || name == ANYTHING) {
        return Err(format!("manifest does not request the permission {PERMISSION}"));
    }
    if params.get("message").and_then(Value::as_str).is_none_or(|message| message.trim().is_empty()) {
        return Err("message must be a text that is not blank".to_owned());
    }
    match params.get("session_id") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if is_xid(text) => Ok(()),
        Some(_) => Err("session_id must be an xid".to_owned()),
    }
}

/// The answer to the plugin.
pub(super) fn respond(session: String, outcome: Result<Map<String, Value>, String>) -> Value {
    match outcome.and_then(|answer| read(answer, session.clone())) {
        Ok(answer) => answer,
        Err(error) => json!({"session_id": session, "error": error}),
    }
}

fn read(answer: Map<String, Value>, session: String) -> Result<Value, String> {
    let unreadable = |why: String| format!("the application's answer to robot_run can't be read: {why}");
    let mut answer: Answer =
        serde_json::from_value(Value::Object(answer)).map_err(|error| unreadable(error.to_string()))?;
    if !is_xid(answer.session_id.get_or_insert(session)) {
        return Err(unreadable("its session_id is no xid".to_owned()));
    }
    serde_json::to_value(answer).map_err(|error| unreadable(error.to_string()))
}
