//! All that is Storyden's alone: its events, and the two methods of its plugins whose answers have shapes of their own.
//!
//! Whatever else its plugins call is answered by the [`Bridge`], as for the plugins of any other application.

pub mod events;
mod robot_run;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::{
    bus::{Bridge, Call, unserved},
    domain::Secret,
    link::{Caller, Host, RpcError},
};

const ACCESS_GET: &str = "access_get";
const ROBOT_RUN: &str = "robot_run";

/// Code of an `access_get` that failed for any other reason than a manifest that does not ask for it (CONTRACT 13).
const INTERNAL: i64 = -32_603;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `sdbak_…`.
    pub access_key: Secret,
    /// The public address of the API, without `/api`.
    pub api_base_url: String,
}

/// Answers what plugins call.
#[derive(Clone)]
pub struct Storyden {
    bridge: Bridge,
    /// Answers `access_get` when no application serves it.
    fallback: Option<Credentials>,
}

impl Host for Storyden {
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>> {
        if method != ACCESS_GET && method != ROBOT_RUN {
            return self.bridge.call(caller, method, params);
        }
        let storyden = self.clone();
        Box::pin(async move {
            let call = storyden.bridge.read(&caller, params)?;
            match &*method {
                ACCESS_GET => Ok(respond(&caller, storyden.access(call).await)),
                _ => Ok(storyden.robot_run(call).await),
            }
        })
    }
}

impl Storyden {
    /// The bridge with Storyden's own methods before it.
    pub fn new(bridge: Bridge, fallback: Option<Credentials>) -> Self {
        Self { bridge, fallback }
    }

    async fn access(&self, call: Call) -> Result<Credentials, RpcError> {
        if call.plugin.desired.manifest.access.is_none() {
            return Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "manifest does not request access"));
        }
        match self.bridge.ask(ACCESS_GET, call).await {
            Some(Ok(answer)) => Credentials::read(&answer)
                .ok_or_else(|| RpcError::new(INTERNAL, "the application's answer lacks access_key or api_base_url")),
            Some(Err(error)) => Err(RpcError::new(INTERNAL, error.message)),
            None => self.fallback.clone().ok_or_else(|| unserved(ACCESS_GET)),
        }
    }

    async fn robot_run(&self, call: Call) -> Value {
        let session = robot_run::session(&call.params);
        let outcome = match robot_run::check(&call.plugin.desired.manifest, &call.params) {
            Ok(()) => self.bridge.ask(ROBOT_RUN, call).await.unwrap_or_else(|| Err(unserved(ROBOT_RUN))),
            Err(refused) => Err(RpcError::failed(refused)),
        };
        robot_run::respond(session, outcome.map_err(|error| error.message))
    }
}

impl Credentials {
    /// Reads what an application answered.
    fn read(answer: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        let api_base_url = text("api_base_url").or_else(|| text("apibase_url"))?;
        Some(Self { access_key: text("access_key")?.into(), api_base_url })
    }

    /// Each SDK reads another encoding of the same answer (CONTRACT 13).
    fn encode(&self, user_agent: &str) -> Value {
        let (access_key, api_base_url) = (self.access_key.expose(), &self.api_base_url);
        if user_agent.starts_with("Python/") && user_agent.contains(" websockets/") {
            json!({"access_key": access_key, "apibase_url": api_base_url})
        } else if user_agent.starts_with("Go-http-client/") {
            json!({"access_key": access_key, "api_base_url": go_url(api_base_url)})
        } else {
            json!({"access_key": access_key, "api_base_url": api_base_url})
        }
    }
}

/// The `result` of the answer to `access_get`: a whole response of its own.
fn respond(caller: &Caller, answer: Result<Credentials, RpcError>) -> Value {
    let mut inner = json!({"jsonrpc": "2.0", "id": caller.request_id, "method": ACCESS_GET});
    match answer {
        Ok(credentials) => inner["result"] = credentials.encode(&caller.user_agent),
        Err(error) => {
            inner["error"] = json!({"code": error.code, "message": error.message});
            inner["result"] = json!({});
        }
    }
    inner
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
