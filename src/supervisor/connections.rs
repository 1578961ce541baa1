//! Connections of plugins: who may make one, and calls over it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Handle, Slot,
    actor::{Attach, Message},
};
use crate::{
    domain::{Mode, Plugin, PluginId, RunId, State},
    link::{Acceptor, Attached, Authenticated, CallError, Credential, Handshake, Refusal, Rejected, Session, token},
    telemetry::trace::{Parent, Span},
};

/// How long it may take until it is known how a run ended whose connection is lost.
const HOW_IT_ENDED: Duration = Duration::from_secs(2);

/// How long it may take a plugin's supervisor to say whose token this is. It takes longer only while it is not known yet which
/// runs go on of an earlier plugd; who is told that plugd can't tell dials again.
const PATIENCE: Duration = Duration::from_secs(5);

impl Acceptor for Handle {
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        Box::pin(self.verify(handshake))
    }

    fn attach(&self, authenticated: Authenticated, session: Session) -> BoxFuture<'_, Result<Attached, Rejected>> {
        Box::pin(async move {
            let slot = self.projection().slot(authenticated.plugin).map_err(|_| Rejected)?;
            let (reply, answer) = oneshot::channel();
            if !slot.tell(Message::Attach(Attach { authenticated, session, reply })).await {
                return Err(Rejected);
            }
            answer.await.map_err(|_| Rejected)?
        })
    }
}

impl Handle {
    async fn verify(&self, handshake: Handshake) -> Result<Authenticated, Refusal> {
        let Handshake { plugin_id, token, .. } = handshake;
        let slot = plugin_id.and_then(|id| self.projection().slot(id).ok());
        // Runs that outlive plugd have a token of the form that external plugins have: their plugin's id tells.
        let is_supervised =
            slot.as_ref().and_then(|slot| slot.plugin()).is_some_and(|it| it.desired.mode == Mode::Supervised);
        if token::is_external(&token) && !is_supervised {
            return self.verify_external(plugin_id, token);
        }
        let plugin = plugin_id.ok_or(Refusal::BadRequest("plugin_id is required with this token"))?;
        let slot = slot.ok_or(Refusal::Unauthorised)?;
        if !token::is_external(&token) && token::run_of(&token).is_none() {
            return Err(Refusal::Unauthorised);
        }
        let run = timeout(PATIENCE, known_run(&slot, &token)).await.unwrap_or(Err(Refusal::Internal))?;
        Ok(Authenticated { plugin, credential: Credential::Run(run), token: token.into() })
    }

    /// An external token names its plugin by itself; an id beside it has to be the right one (CONTRACT 10.2).
    fn verify_external(&self, claimed: Option<PluginId>, token: String) -> Result<Authenticated, Refusal> {
        let slots = self.projection().slots();
        let found = slots.iter().filter_map(|slot| slot.plugin()).find(|plugin| {
            let ours = plugin.desired.token.as_ref();
            plugin.desired.mode == Mode::External && ours.is_some_and(|ours| token::is_same(ours.expose(), &token))
        });
        match found {
            Some(plugin) if claimed.is_none_or(|id| id == plugin.id) => {
                let credential = Credential::Epoch(plugin.desired.token_epoch);
                Ok(Authenticated { plugin: plugin.id, credential, token: token.into() })
            }
            _ => Err(Refusal::Unauthorised),
        }
    }
}

impl Slot {
    /// Calls the plugin over this connection, as a part of `parent`. One that ends meanwhile says how it ended, as soon as that is
    /// known.
    pub async fn call(
        &self,
        session: &Session,
        (method, params): (&str, Map<String, Value>),
        limit: Duration,
        parent: Option<Parent>,
    ) -> Result<Map<String, Value>, CallError> {
        let deadline = Instant::now() + limit;
        let call = session.call(method, Some(Value::Object(params)), limit);
        match self.told(method, parent, call).await {
            Err(CallError::Lost(why)) => {
                let deadline = deadline.min(Instant::now() + HOW_IT_ENDED);
                Err(CallError::Lost(self.how_it_ended(deadline).await.unwrap_or(why)))
            }
            answer => answer,
        }
    }

    /// Waits for the answer to a call of the plugin, which the collector of traces is told of.
    pub async fn told<T>(
        &self,
        method: &str,
        parent: Option<Parent>,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut span = Span::to_plugin(self.id(), method, parent);
        let answer = call.await;
        if let Err(error) = &answer {
            let code = if let CallError::Refused(refused) = error { Some(refused.code) } else { None };
            span.refused(code, &error.to_string());
        }
        answer
    }

    async fn how_it_ended(&self, deadline: Instant) -> Option<String> {
        let mut records = self.subscribe();
        let known = records.wait_for(|plugin| plugin.as_deref().is_none_or(is_known));
        let plugin = timeout_at(deadline, known).await.ok()?.ok()?.clone();
        plugin.and_then(|plugin: Arc<Plugin>| said(&plugin))
    }
}

/// The run that this token is of.
async fn known_run(slot: &Slot, token: &str) -> Result<RunId, Refusal> {
    let (reply, answer) = oneshot::channel();
    if !slot.tell(Message::Authenticate { token: token.to_owned(), reply }).await {
        return Err(Refusal::Internal);
    }
    answer.await.map_err(|_| Refusal::Internal)?.ok_or(Refusal::Unauthorised)
}

/// Whether the record tells how the run ended, or none ever will.
fn is_known(plugin: &Plugin) -> bool {
    plugin.desired.mode == Mode::External || said(plugin).is_some()
}

fn said(plugin: &Plugin) -> Option<String> {
    let reported = &plugin.reported;
    match (reported.state, &reported.failure) {
        // Not heard of yet, or connected again.
        (State::Active, _) => None,
        (_, Some(failure)) => Some(failure.message.clone()),
        (State::Stopping | State::Inactive, None) => Some("it was stopped".to_owned()),
        (_, None) => None,
    }
}
