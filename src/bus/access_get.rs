//! `access_get`: each SDK reads another encoding of the same answer (CONTRACT 13).

use serde_json::{Map, Value, json};

use crate::link::{Caller, RpcError};

/// An identity with which a plugin calls the application's own API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `sdbak_…`.
    pub access_key: String,
    /// The public address of the API, without `/api`.
    pub api_base_url: String,
}

impl Credentials {
    /// Reads what an application answered.
    pub(super) fn read(answer: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let api_base_url = text("api_base_url").or_else(|| text("apibase_url"))?;
        Some(Self { access_key: text("access_key")?, api_base_url })
    }
}

/// The `result` of the outer response: a whole response of its own.
pub(super) fn respond(caller: &Caller, answer: Result<Credentials, RpcError>) -> Value {
    let mut inner = json!({"jsonrpc": "2.0", "id": caller.request_id, "method": "access_get"});
    match answer {
        Ok(credentials) => inner["result"] = encode(&caller.user_agent, &credentials),
        Err(error) => {
            inner["error"] = json!({"code": error.code, "message": error.message});
            inner["result"] = json!({});
        }
    }
    inner
}

fn encode(user_agent: &str, credentials: &Credentials) -> Value {
    let Credentials { access_key, api_base_url } = credentials;
    if user_agent.starts_with("Python/") && user_agent.contains(" websockets/") {
        json!({"access_key": access_key, "apibase_url": api_base_url})
    } else if user_agent.starts_with("Go-http-client/") {
        json!({"access_key": access_key, "api_base_url": go_url(api_base_url)})
    } else {
        json!({"access_key": access_key, "api_base_url": api_base_url})
    }
}

/// Go's `url.URL` as its encoder writes it.
fn go_url(url: &str) -> Value {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    json!({
        "Scheme": scheme, "Opaque": "", "User": null, "Host": host, "Path": path, "RawPath": "", "OmitHost": false,
        "ForceQuery": false, "RawQuery": "", "Fragment": "", "RawFragment": "",
    })
}
