//! JSON-RPC messages, one a text frame (CONTRACT 11.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// JSON-RPC code of a method that the plugin does not have.
const METHOD_NOT_FOUND: i64 = -32601;

/// The members of a JSON object.
pub(crate) type Fields = Map<String, Value>;

/// The members of `value`; none when it is no object.
pub(crate) fn fields(value: Value) -> Fields {
    if let Value::Object(fields) = value { fields } else { Fields::new() }
}

/// A call of the host's.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) params: Fields,
}

/// An error as JSON-RPC carries it.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct Failure {
    pub(crate) code: i64,
    pub(crate) message: String,
}

impl Failure {
    /// The plugin has no such method.
    pub(crate) fn method_not_found(method: &str) -> Self {
        Self { code: METHOD_NOT_FOUND, message: format!("method not found: {method}") }
    }
}

/// A message of the host's.
#[derive(Debug)]
pub(crate) enum Incoming {
    Request(Request),
    Response { id: String, outcome: Result<Value, Failure> },
}

#[derive(Deserialize)]
struct Envelope {
    id: String,
    method: Option<String>,
    params: Option<Fields>,
    result: Option<Value>,
    error: Option<Failure>,
}

impl Incoming {
    /// Reads a message: a top-level `method` makes it a request.
    ///
    /// # Errors
    /// The message is not JSON, or not an envelope.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let Envelope { id, method, params, result, error } = serde_json::from_str(text)?;
        Ok(match method {
            Some(method) => Self::Request(Request { id, method, params: params.unwrap_or_default() }),
            None => Self::Response { id, outcome: error.map_or_else(|| Ok(result.unwrap_or_default()), Err) },
        })
    }
}

/// A request to the host.
pub(crate) fn request(id: &str, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// The answer to a request. A result names the method that it answers, an error stands alone.
pub(crate) fn answer(id: &str, method: String, outcome: Result<Fields, Failure>) -> String {
    match outcome {
        Ok(mut result) => {
            result.insert("method".into(), method.into());
            json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
        }
        Err(failure) => json!({"jsonrpc": "2.0", "id": id, "error": failure}).to_string(),
    }
}
