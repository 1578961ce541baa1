//! Answers what plugins call: plugd itself, or the application that serves the method.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::{
    Hosts,
    access_get::{self, Credentials},
    robot_run,
};
use crate::{
    domain::{Plugin, RunId, depth, number},
    link::{Caller, Host, RpcError},
    supervisor::Projection,
};

/// What plugd answers itself (CONTRACT 11.4).
pub const GET_CONFIG: &str = "get_config";

/// How long an application may take for a plugin's call; the Go SDK itself gives up then (CONTRACT 10.5).
const HOST_TIMEOUT: Duration = Duration::from_secs(600);

/// Code of an `access_get` that failed for any other reason than a manifest that does not ask for it (CONTRACT 13).
const INTERNAL: i64 = -32_603;

/// Who calls: the plugin, and its run.
type From = (Arc<Plugin>, RunId);

/// The bridge from plugins to plugd and the applications.
#[derive(Clone)]
pub struct Bridge {
    projection: Arc<Projection>,
    hosts: Arc<Hosts>,
    /// Answers `access_get` when no application serves it.
    fallback: Option<Credentials>,
}

impl Host for Bridge {
    fn call(&self, caller: Caller, method: String, params: Value) -> BoxFuture<'static, Result<Value, RpcError>> {
        let bridge = self.clone();
        Box::pin(async move {
            let slot = bridge.projection.slot(caller.plugin).map_err(|error| RpcError::failed(error.message))?;
            let plugin = slot.plugin().ok_or_else(|| RpcError::failed("the plugin is deleted"))?;
            bridge.answer(&caller, plugin, (&method, params)).await
        })
    }
}

impl Bridge {
    /// A bridge for the plugins of a registry.
    #[must_use]
    pub fn new(projection: Arc<Projection>, hosts: Arc<Hosts>, fallback: Option<Credentials>) -> Self {
        Self { projection, hosts, fallback }
    }

    async fn answer(&self, caller: &Caller, plugin: Arc<Plugin>, call: (&str, Value)) -> Result<Value, RpcError> {
        let (method, params) = call;
        let params = object(params)?;
        let from = (plugin, caller.run);
        match method {
            GET_CONFIG => get_config(&from.0, &params),
            "access_get" => Ok(access_get::respond(caller, self.access(from, params).await)),
            robot_run::METHOD => Ok(self.robot_run(from, params).await),
            method => match self.hosts.call(from, (method, params), HOST_TIMEOUT).await {
                Some(answer) => answer.map(Value::Object),
                None => Err(unserved(method)),
            },
        }
    }

    async fn access(&self, from: From, params: Map<String, Value>) -> Result<Credentials, RpcError> {
        if from.0.desired.manifest.access.is_none() {
            let message = "manifest does not request access".to_owned();
            return Err(RpcError { code: RpcError::METHOD_NOT_FOUND, message });
        }
        match self.hosts.call(from, ("access_get", params), HOST_TIMEOUT).await {
            Some(Ok(answer)) => Credentials::read(&answer).ok_or_else(|| RpcError {
                code: INTERNAL,
                message: "the application's answer lacks access_key or api_base_url".to_owned(),
            }),
            Some(Err(error)) => Err(RpcError { code: INTERNAL, message: error.message }),
            None => self.fallback.clone().ok_or_else(|| unserved("access_get")),
        }
    }

    async fn robot_run(&self, from: From, params: Map<String, Value>) -> Value {
        let session = robot_run::session(&params);
        let outcome = match robot_run::check(&from.0.desired.manifest, &params) {
            Ok(()) => self.hosts.call(from, (robot_run::METHOD, params), HOST_TIMEOUT).await,
            Err(refused) => Some(Err(RpcError::failed(refused))),
        };
        let outcome = outcome.unwrap_or_else(|| Err(unserved(robot_run::METHOD)));
        robot_run::respond(session, outcome.map_err(|error| error.message))
    }
}

fn object(params: Value) -> Result<Map<String, Value>, RpcError> {
    match params {
        params if depth::is_too_deep(&params) => {
            let message = format!("params are nested deeper than {} levels", depth::MAX_DEPTH);
            Err(RpcError { code: RpcError::INVALID_PARAMS, message })
        }
        Value::Object(object) => match number::inexact_in(&object) {
            Some(inexact) => {
                Err(RpcError { code: RpcError::INVALID_PARAMS, message: inexact.within("params").to_string() })
            }
            None => Ok(object),
        },
        Value::Null => Ok(Map::new()),
        _ => Err(RpcError { code: RpcError::INVALID_PARAMS, message: "params must be an object".to_owned() }),
    }
}

fn unserved(method: &str) -> RpcError {
    let message = format!("no application serves {method:.128?}: one has to, over BusService.ServeHost");
    RpcError { code: RpcError::METHOD_NOT_FOUND, message }
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
    Ok(json!({"method": "get_config", "config": config}))
}
