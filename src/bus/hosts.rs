//! What plugins call, answered by plugd itself or by the application that serves the method.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{Plugin, RunId, json, text::shorten},
    link::{Bounded, Caller, Host, Queued, RpcError},
    supervisor::Projection,
    telemetry::trace::Parent,
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
    pub plugin: Arc<Plugin>,
    /// Its run; of an external plugin, its connection.
    pub run: RunId,
    pub params: Map<String, Value>,
    /// What is done for the call is a part of this.
    pub parent: Option<Parent>,
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
    pub fn new(projection: Arc<Projection>, hosts: Arc<Hosts>) -> Self {
        Self { projection, hosts }
    }

    /// Reads which plugin calls, and its parameters.
    ///
    /// # Errors
    /// The plugin is deleted, or no application could read the parameters.
    pub fn read(&self, caller: &Caller, params: Value) -> Result<Call, RpcError> {
        let slot = self.projection.slot(caller.plugin).map_err(|error| RpcError::failed(error.message))?;
        let plugin = slot.plugin().ok_or_else(|| RpcError::failed("the plugin is deleted"))?;
        Ok(Call { plugin, run: caller.run, params: object(params)?, parent: caller.parent })
    }

    /// Calls the application that serves a method; none if nobody does.
    pub async fn ask(&self, method: &str, Call { plugin, run, params, parent }: Call) -> Option<Answer> {
        self.hosts.call((plugin, run, parent), (method, params), HOST_TIMEOUT).await
    }
}

/// What a plugin is told when nobody serves the method that it calls.
pub fn unserved(method: &str) -> RpcError {
    let method = shorten(method, 128);
    let message = format!("no application serves {method:?}: one has to, over BusService.ServeHost");
    RpcError::new(RpcError::METHOD_NOT_FOUND, message)
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(RpcError::INVALID_PARAMS, message)
}

fn object(params: Value) -> Result<Map<String, Value>, RpcError> {
    match params {
        Value::Object(object) => json::require_carried("params", &object).map(|()| object).map_err(invalid),
        Value::Null => Ok(Map::new()),
        _ => Err(invalid("params must be an object")),
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
        Some(_) => return Err(invalid("keys must be an array of strings")),
    };
    let pick = |key: &str| Some((key.to_owned(), stored.get(key)?.clone()));
    let config: Map<_, _> = if keys.is_empty() { stored.clone() } else { keys.into_iter().filter_map(pick).collect() };
    Ok(json!({"method": GET_CONFIG, "config": config}))
}

/// Calls that may wait for one application to read them.
const QUEUE: usize = 256;

/// Most bytes that the params of a call take on the way to an application. A message that is larger than what it takes
/// ends its stream with all other calls, and what the plugin's manifest asks for comes beside them.
const MAX_PARAMS: usize = json::MAX_MESSAGE / 2;

/// Most bytes of params, as they take on the wire, in the calls that wait for one application to read them.
const MAX_QUEUED: usize = 16 << 20;

/// The name under which an application serves every method that no other one names.
const ANY: &str = "*";

/// Names one serving application while plugd runs.
pub type HostId = u64;

/// A call for an application.
#[derive(Debug, Clone)]
pub struct HostCall {
    pub id: String,
    /// The plugin that calls.
    pub plugin: Arc<Plugin>,
    /// The run that calls, or the connection of an external plugin.
    pub run: RunId,
    pub method: String,
    pub params: Map<String, Value>,
    /// How long the plugin's call waits.
    pub timeout: Duration,
    /// What the application does for the call is a part of this.
    pub parent: Option<Parent>,
}

/// What an application is told.
#[derive(Debug, Clone)]
pub enum HostEvent {
    Call(HostCall),
    /// Nobody waits for the answer to this call any longer.
    Cancelled(String),
}

/// What an application answers.
pub type Answer = Result<Map<String, Value>, RpcError>;

#[derive(Default)]
pub struct Hosts(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    last: HostId,
    /// Whose turn it is, by the name under which a method is served.
    turns: HashMap<String, usize>,
    serving: Vec<Serving>,
}

struct Serving {
    id: HostId,
    methods: HashSet<String>,
    queue: Bounded<HostEvent>,
    open: HashMap<String, oneshot::Sender<Answer>>,
}

impl Hosts {
    /// Lets an application serve these methods; the calls come out of the receiver.
    pub fn register(&self, methods: HashSet<String>) -> (HostId, mpsc::Receiver<Queued<HostEvent>>) {
        let (queue, receiver) = Bounded::new(QUEUE, MAX_QUEUED);
        let mut inner = self.lock();
        inner.last += 1;
        let id = inner.last;
        inner.serving.push(Serving { id, methods, queue, open: HashMap::new() });
        (id, receiver)
    }

    /// The application is gone: its open calls fail at once.
    pub fn unregister(&self, id: HostId) {
        // Dropping the entry drops what its calls wait on.
        let mut inner = self.lock();
        let Inner { serving, turns, .. } = &mut *inner;
        serving.retain(|serving| serving.id != id);
        turns.retain(|name, _| serving.iter().any(|serving| serving.methods.contains(name)));
    }

    /// Takes an application's answer; false when nobody waits for it.
    pub fn answer(&self, host: HostId, call: &str, answer: Answer) -> bool {
        let mut inner = self.lock();
        let serving = inner.serving.iter_mut().find(|serving| serving.id == host);
        let open = serving.and_then(|serving| serving.open.remove(call));
        open.is_some_and(|open| open.send(answer).is_ok())
    }

    /// Whether anybody serves this method.
    #[cfg(test)]
    pub(crate) fn serves(&self, method: &str) -> bool {
        let inner = self.lock();
        [method, ANY].iter().any(|name| !inner.serving_as(name).is_empty())
    }

    /// Calls a method of whichever application serves it, in turn if several do; none if nobody does.
    pub async fn call(
        &self,
        (plugin, run, parent): (Arc<Plugin>, RunId, Option<Parent>),
        (method, params): (&str, Map<String, Value>),
        limit: Duration,
    ) -> Option<Answer> {
        let bytes = json::size_of(&params);
        if bytes > MAX_PARAMS {
            let message = format!("params take {bytes} bytes on the way to the application, which takes {MAX_PARAMS}");
            return Some(Err(invalid(message)));
        }
        let id = xid::new().to_string();
        let method = method.to_owned();
        let call = HostCall { id: id.clone(), plugin, run, method, params, timeout: limit, parent };
        let (host, answer) = match self.send(call, bytes)? {
            Ok(sent) => sent,
            Err(busy) => return Some(Err(busy)),
        };
        // Also when the plugin goes away and this future is dropped.
        let _cancel = Cancel { hosts: self, host, id };
        Some(match timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(RpcError::failed("the application went away before it answered")),
            Err(_) => Err(RpcError::failed(format!("the application did not answer within {limit:?}"))),
        })
    }

    fn send(&self, call: HostCall, bytes: usize) -> Option<Result<(HostId, oneshot::Receiver<Answer>), RpcError>> {
        let mut inner = self.lock();
        let index = inner.choose(&call.method)?;
        let serving = &mut inner.serving[index];
        let id = call.id.clone();
        if serving.queue.try_send(HostEvent::Call(call), bytes).is_err() {
            return Some(Err(RpcError::failed("the application is too busy")));
        }
        let (sender, receiver) = oneshot::channel();
        serving.open.insert(id, sender);
        Some(Ok((serving.id, receiver)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Applications that name the method come before those that serve any. Several of one kind take turns.
    fn choose(&mut self, method: &str) -> Option<usize> {
        let named = self.serving_as(method);
        let (name, able) = if named.is_empty() { (ANY, self.serving_as(ANY)) } else { (method, named) };
        if able.is_empty() {
            return None;
        }
        let turn = self.turns.entry(name.to_owned()).or_default();
        *turn = turn.wrapping_add(1);
        able.get(*turn % able.len()).copied()
    }

    fn serving_as(&self, name: &str) -> Vec<usize> {
        let serves = |(_, serving): &(usize, &Serving)| serving.methods.contains(name);
        self.serving.iter().enumerate().filter(serves).map(|(index, _)| index).collect()
    }
}

/// Forgets a call that ends without an answer, and tells the application.
struct Cancel<'a> {
    hosts: &'a Hosts,
    host: HostId,
    id: String,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let mut inner = self.hosts.lock();
        let Some(serving) = inner.serving.iter_mut().find(|serving| serving.id == self.host) else { return };
        if serving.open.remove(&self.id).is_some() {
            // An application too busy to hear this answers in vain, which does no harm.
            serving.queue.try_send(HostEvent::Cancelled(self.id.clone()), 0).unwrap_or_default();
        }
    }
}
