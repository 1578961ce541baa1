//! The JSON-RPC envelope (CONTRACT 11.1, 11.2): text to meaning and back. Pure.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{CallError, RpcError};
use crate::domain::json;

/// One text frame of a plugin.
#[derive(Debug, PartialEq)]
pub(super) enum Inbound {
    /// The plugin calls the host.
    Request(Request),
    /// The plugin answers a call of the host.
    Response(Response),
    /// Neither of the two.
    Malformed(Malformed),
}

#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) method: String,
    /// Null when absent.
    pub(super) params: Value,
}

#[derive(Debug, PartialEq)]
pub(super) struct Response {
    pub(super) id: String,
    pub(super) outcome: Result<Map<String, Value>, CallError>,
}

/// A frame that means nothing.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed {
    pub(super) problem: String,
    /// The request that waits for an answer, if that can be told. One without an id gets none: the SDKs could not match it.
    pub(super) reply_to: Option<RequestId>,
}

/// The id of a plugin's request: a string (or number) that is echoed as it came. It need not be an xid: most ids of
/// the Python SDK are not (CONTRACT 11.2).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RequestId(Value);

impl RequestId {
    fn read(value: Value) -> Option<Self> {
        matches!(value, Value::String(_) | Value::Number(_)).then_some(Self(value))
    }

    pub(super) fn to_text(&self) -> String {
        match &self.0 {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Reads a text frame. Nesting is bounded by the parser (128 levels).
pub(super) fn read(text: &str) -> Inbound {
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(frame)) => read_object(frame),
        Ok(_) => malformed("a message that is not a JSON object (batches are not read)", None),
        Err(unreadable) => read_outermost(text, unreadable.to_string()),
    }
}

/// The parts of an unreadable frame that say which call it answers, or which request it is.
#[derive(Deserialize)]
struct Outermost {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    method: Value,
}

/// A frame that is nested too deep, or has a number that is too large: who waits for it is told at once.
fn read_outermost(text: &str, why: String) -> Inbound {
    match serde_json::from_str(text) {
        Ok(Outermost { id: Value::String(id), method: Value::Null }) => {
            Inbound::Response(Response { id, outcome: Err(CallError::Undecodable(why)) })
        }
        Ok(Outermost { id, .. }) => malformed(format!("a message that can't be read: {why}"), RequestId::read(id)),
        Err(_) => malformed(format!("a message that is not JSON: {why}"), None),
    }
}

/// A top-level `method` makes it a request; both SDKs decide in the same way (CONTRACT 11.1).
fn read_object(mut frame: Map<String, Value>) -> Inbound {
    let id = frame.remove("id").unwrap_or_default();
    match frame.remove("method").unwrap_or_default() {
        Value::String(method) => read_request(id, method, frame),
        Value::Null => read_response(id, frame),
        _ => malformed("a message whose method is not a string", RequestId::read(id)),
    }
}

fn read_request(id: Value, method: String, mut frame: Map<String, Value>) -> Inbound {
    match RequestId::read(id) {
        Some(id) => Inbound::Request(Request { id, method, params: frame.remove("params").unwrap_or_default() }),
        None => malformed("a request without an id", None),
    }
}

fn read_response(id: Value, mut frame: Map<String, Value>) -> Inbound {
    let Value::String(id) = id else {
        return malformed("a message with neither a method nor the id of a call of plugd", None);
    };
    let outcome = match frame.remove("error").unwrap_or_default() {
        Value::Null => read_result(frame.remove("result").unwrap_or_default()),
        error => Err(CallError::Refused(read_error(error))),
    };
    Inbound::Response(Response { id, outcome })
}

fn read_result(result: Value) -> Result<Map<String, Value>, CallError> {
    match result {
        Value::Object(result) => Ok(result),
        Value::Null => Err(CallError::Undecodable("it has neither a result nor an error".into())),
        _ => Err(CallError::Undecodable("its result is not an object".into())),
    }
}

/// Reads an error of any shape: an answer that has one is a failure.
fn read_error(error: Value) -> RpcError {
    let code = error["code"].as_i64().unwrap_or(RpcError::FAILED);
    let message = match &error["message"] {
        Value::String(message) => message.clone(),
        _ => error.to_string(),
    };
    RpcError { code, message }
}

fn malformed(problem: impl Into<String>, reply_to: Option<RequestId>) -> Inbound {
    Inbound::Malformed(Malformed { problem: problem.into(), reply_to })
}

/// A call of the plugin. Exactly the documented keys: the Python SDK forbids any other, so without parameters there
/// is no `params`. They are JSON already.
pub(super) fn request(id: &str, method: &str, params: Option<&str>) -> String {
    let (id, method) = (Value::from(id), Value::from(method));
    match params {
        Some(params) => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#),
        None => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method}}}"#),
    }
}

/// The answer to a plugin's request. A result names the method that it answers, whatever the host put there: the SDKs
/// decode it by that name (CONTRACT 11.1). An error comes without any result.
pub(super) fn response(id: &RequestId, method: &str, outcome: Result<Value, RpcError>) -> String {
    match outcome {
        Ok(Value::Object(mut result)) => {
            result.insert("method".to_owned(), json!(method));
            json!({"jsonrpc": "2.0", "id": id.0, "result": result}).to_string()
        }
        Ok(_) => failure(id, &RpcError::failed("internal error: the answer is not an object")),
        Err(error) => failure(id, &error),
    }
}

/// The answer that a request failed.
pub(super) fn failure(id: &RequestId, error: &RpcError) -> String {
    json!({"jsonrpc": "2.0", "id": id.0, "error": {"code": error.code, "message": error.message}}).to_string()
}

/// For the fuzzer: what is answered to a frame, if anything is.
#[cfg(fuzzing)]
pub(crate) fn answer_to(text: &str) -> Option<String> {
    match read(text) {
        Inbound::Request(request) => Some(response(&request.id, &request.method, Ok(request.params))),
        Inbound::Response(_) => None,
        Inbound::Malformed(Malformed { problem, reply_to }) => {
            reply_to.map(|id| failure(&id, &RpcError::failed(problem)))
        }
    }
}

#[cfg(test)]
#[path = "tests/envelope.rs"]
mod tests;
