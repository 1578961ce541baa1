//! Answers what plugins call: plugd itself, or the application that serves the method.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::{Answer, Hosts};
use crate::{
    domain::{Plugin, RunId, json, text::shorten},
    link::{Caller, Host, RpcError},
    supervisor::Projection,
};

/// What plugd answers itself (CONTRACT 11.4).
pub const GET_CONFIG: &str = "get_config";

/// How long an application may take for a plugin's call; the Go SDK itself gives up then (CONTRACT 10.5).
const HOST_TIMEOUT: Duration = Duration::from_secs(600);

/// The bridge from plugins to plugd and the applications.
#[derive(Clone)]
pub struct Bridge {
    projection: Arc<Projection>,
    hosts: Arc<Hosts>,
}

/// What a plugin calls with, checked.
pub struct Call {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Its run; of an external plugin, its connection.
    pub run: RunId,
    /// The parameters.
    pub params: Map<String, Value>,
}

impl Host for Bridge {
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>> {
        let bridge = self.clone();
        Box::pin(async move {
            let call = bridge.read(&caller, params)?;
            if method == GET_CONFIG {
                return get_config(&call.plugin, &call.params);
            }
            let answer = bridge.ask(&method, call).await;
            answer.unwrap_or_else(|| Err(unserved(&method))).map(Value::Object)
        })
    }
}

impl Bridge {
    /// A bridge for the plugins of a registry.
    #[must_use]
    pub fn new(projection: Arc<Projection>, hosts: Arc<Hosts>) -> Self {
        Self { projection, hosts }
    }

    /// Who calls, and with what.
    ///
    /// # Errors
    /// The plugin is deleted, or no application could read the parameters.
    pub fn read(&self, caller: &Caller, params: Value) -> Result<Call, RpcError> {
        let slot = self.projection.slot(caller.plugin).map_err(|error| RpcError::failed(error.message))?;
        let plugin = slot.plugin().ok_or_else(|| RpcError::failed("the plugin is deleted"))?;
        Ok(Call { plugin, run: caller.run, params: object(params)? })
    }

    /// Calls the application that serves a method; none if nobody does.
    pub async fn ask(&self, method: &str, Call { plugin, run, params }: Call) -> Option<Answer> {
        self.hosts.call((plugin, run), (method, params), HOST_TIMEOUT).await
    }
}

/// What a plugin is told when nobody serves the method that it calls.
#[must_use]
pub fn unserved(method: &str) -> RpcError {
    let method = shorten(method, 128);
    let message = format!("no application serves {method:?}: one has to, over BusService.ServeHost");
    RpcError { code: RpcError::METHOD_NOT_FOUND, message }
}

fn object(params: Value) -> Result<Map<String, Value>, RpcError> {
    let invalid = |message: String| RpcError { code: RpcError::INVALID_PARAMS, message };
    match params {
        Value::Object(object) => json::require_carried("params", &object).map(|()| object).map_err(invalid),
        Value::Null => Ok(Map::new()),
        _ => Err(invalid("params must be an object".to_owned())),
    }
}

/// What is stored: all of it, or with `keys` those that exist (CONTRACT 11.4).
fn get_config(plugin: &Plugin, params: &Map<String, Value>) -> Result<Value, RpcError> {
    let stored = plugin.desired.configuration.as_ref();
    let keys = match params.get("keys") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(keys)) if keys.iter().all(Value::is_string) => {
            keys.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => {
            let message = "keys must be an array of strings".to_owned();
            return Err(RpcError { code: RpcError::INVALID_PARAMS, message });
        }
    };
    let pick = |key: &str| Some((key.to_owned(), stored.get(key)?.clone()));
    let config: Map<_, _> = if keys.is_empty() { stored.clone() } else { keys.into_iter().filter_map(pick).collect() };
    Ok(json!({"method": GET_CONFIG, "config": config}))
}
