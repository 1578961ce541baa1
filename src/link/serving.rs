//! Answers a plugin's calls, side by side: a call that takes long holds up no other (CONTRACT 11.3, 11.4).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::{debug, error};

use super::{
    Caller, Host, RpcError, Session,
    envelope::{self, Request, RequestId},
    session::MAX_OUTBOUND,
};
use crate::{
    domain::{PluginId, RunId},
    telemetry::trace::{Recent, Span},
};

/// Calls of one plugin that run, or wait for the attach, at once.
pub(super) const MAX_SERVED: usize = 64;

/// About how many bytes of memory the running calls of one plugin may take. A call that takes more is served alone.
pub(super) const MAX_SERVED_BYTES: usize = 64 << 20;

/// Whose calls they are.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) plugin: PluginId,
    pub(super) run: RunId,
    /// The start of the run, if plugd started it.
    pub(super) start: Option<Recent>,
}

/// A call, and its share of the bytes, which is given back with its end.
struct Admitted {
    request: Request,
    _bytes: OwnedSemaphorePermit,
}

/// The calls of one connection. Dropping it aborts them.
pub(super) struct Serving {
    session: Session,
    /// None until the connection is attached; calls wait until then.
    host: Option<(Arc<dyn Host>, Source)>,
    waiting: Vec<Admitted>,
    running: JoinSet<()>,
    /// What is left of [`MAX_SERVED_BYTES`].
    bytes: Arc<Semaphore>,
}

impl Serving {
    /// Nothing is served before [`Self::open`].
    pub(super) fn new(session: Session) -> Self {
        let bytes = Arc::new(Semaphore::new(MAX_SERVED_BYTES));
        Self { session, host: None, waiting: Vec::new(), running: JoinSet::new(), bytes }
    }

    /// Serves what waits and what comes.
    pub(super) fn open(&mut self, host: Arc<dyn Host>, from: Source) {
        self.host = Some((host, from));
        for call in std::mem::take(&mut self.waiting) {
            self.start(call);
        }
    }

    /// Takes one call.
    pub(super) fn serve(&mut self, request: Request) {
        if self.waiting.len() + self.running.len() >= MAX_SERVED {
            return self.refuse(&request.id, &RpcError::failed(format!("busy: {MAX_SERVED} calls are running")));
        }
        let share = u32::try_from(weight(&request.params).min(MAX_SERVED_BYTES)).unwrap_or(u32::MAX);
        let Ok(share) = Arc::clone(&self.bytes).try_acquire_many_owned(share) else {
            let error = RpcError::failed("busy: the calls that are running are too large for a further one");
            return self.refuse(&request.id, &error);
        };
        self.start(Admitted { request, _bytes: share });
    }

    fn start(&mut self, call: Admitted) {
        match &self.host {
            None => self.waiting.push(call),
            Some((host, from)) => {
                let call = serve(self.session.clone(), Arc::clone(host), *from, call);
                self.running.spawn(call);
            }
        }
    }

    /// Answers with an error if there is room for it. A plugin that neither reads nor stops asking is not told.
    pub(super) fn refuse(&self, id: &RequestId, error: &RpcError) {
        if !self.session.try_answer(envelope::failure(id, error)) {
            debug!(session = self.session.id(), %error, "no room to refuse a plugin's call");
        }
    }

    /// Takes note of a call that has ended; waits for ever if none runs.
    pub(super) async fn reap(&mut self) {
        if self.running.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Bytes of a node of an object's tree, and the members that it has at least where there are so many: half of 11.
const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>());
const MEMBERS: usize = 5;

/// Bytes that a value takes, about. What it came as says little: `{"":0}` takes a hundred times more than its letters.
fn weight(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => {
            let keys_and_values: usize = members.iter().map(|(key, value)| key.len() + weight(value)).sum();
            keys_and_values + members.len().div_ceil(MEMBERS) * NODE
        }
        _ => 0,
    };
    size_of::<Value>() + inside
}

async fn serve(session: Session, host: Arc<dyn Host>, from: Source, admitted: Admitted) {
    let Admitted { request: Request { id, method, params }, _bytes } = admitted;
    let Source { plugin, run, start } = from;
    let mut span = Span::from_plugin((plugin, run), &method, start.and_then(Recent::parent));
    let (user_agent, request_id) = (session.user_agent().to_owned(), id.to_text());
    let caller = Caller { plugin, run, user_agent, session: session.id(), request_id, parent: span.parent() };
    let begun = Instant::now();
    let outcome = call(host, caller, &method, params).await;
    session.metrics().called_by_plugin(&outcome, begun.elapsed());
    if let Err(error) = &outcome {
        span.refused(Some(error.code), &error.message);
    }
    drop(span);
    let message = envelope::response(&id, &method, outcome);
    session.answer(within_limit(&id, message)).await;
}

/// A panic of the host is its failure, not the plugin's eternal wait.
async fn call(host: Arc<dyn Host>, caller: Caller, method: &str, params: Value) -> Result<Value, RpcError> {
    let plugin = caller.plugin;
    let call = async { host.call(caller, method.to_owned(), params).await };
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        error!(%plugin, method, "a plugin's call made the host panic");
        Err(RpcError::failed("internal error"))
    })
}

fn within_limit(id: &RequestId, message: String) -> String {
    if message.len() <= MAX_OUTBOUND {
        return message;
    }
    let problem = format!("the answer has {} bytes, a plugin accepts {MAX_OUTBOUND}", message.len());
    envelope::failure(id, &RpcError::failed(problem))
}
