//! Answers a plugin's calls, side by side: one that takes long holds up no other (CONTRACT 11.3, 11.4).

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tracing::{debug, error};

use super::{
    Caller, Host, RpcError, Session,
    envelope::{self, Request, RequestId},
    session::MAX_OUTBOUND,
};
use crate::domain::PluginId;

/// Calls of one plugin that run, or wait for the attach, at once.
pub(super) const MAX_SERVED: usize = 64;

/// The calls of one connection. Dropping it aborts them.
pub(super) struct Serving {
    session: Session,
    /// Nobody until the connection is attached; the calls wait.
    host: Option<(Arc<dyn Host>, PluginId)>,
    waiting: Vec<Request>,
    running: JoinSet<()>,
}

impl Serving {
    /// Nothing is served before [`Self::open`].
    pub(super) fn new(session: Session) -> Self {
        Self { session, host: None, waiting: Vec::new(), running: JoinSet::new() }
    }

    /// Serves what waits and what comes.
    pub(super) fn open(&mut self, host: Arc<dyn Host>, plugin: PluginId) {
        self.host = Some((host, plugin));
        for request in std::mem::take(&mut self.waiting) {
            self.serve(request);
        }
    }

    /// Takes one call.
    pub(super) fn serve(&mut self, request: Request) {
        if self.waiting.len() + self.running.len() >= MAX_SERVED {
            return self.refuse(&request.id, &RpcError::failed(format!("busy: {MAX_SERVED} calls are running")));
        }
        match &self.host {
            None => self.waiting.push(request),
            Some((host, plugin)) => {
                let call = serve(self.session.clone(), Arc::clone(host), *plugin, request);
                self.running.spawn(call);
            }
        }
    }

    /// Answers with an error if there is room for it: who neither reads nor stops asking can't be told.
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

async fn serve(session: Session, host: Arc<dyn Host>, plugin: PluginId, request: Request) {
    let Request { id, method, params } = request;
    let user_agent = session.user_agent().to_owned();
    let caller = Caller { plugin, user_agent, session: session.id(), request_id: id.to_text() };
    let outcome = call(host, caller, &method, params).await;
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
