//! Who may connect as a plugin: the tokens, and the actor that takes the connection.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{
    Handle, Slot,
    message::{Attach, Message},
};
use crate::{
    domain::{Mode, PluginId},
    link::{Acceptor, Attached, Authenticated, Credential, Handshake, Refusal, Rejected, Session, token},
};

impl Acceptor for Handle {
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        Box::pin(self.admit(handshake))
    }

    fn attach(&self, authenticated: Authenticated, session: Session) -> BoxFuture<'_, Result<Attached, Rejected>> {
        Box::pin(async move {
            let slot = self.projection().slot(authenticated.plugin).map_err(|_| Rejected)?;
            let (reply, answer) = oneshot::channel();
            slot.inbox().send(Message::Attach(Attach { authenticated, session, reply })).map_err(|_| Rejected)?;
            answer.await.map_err(|_| Rejected)?
        })
    }
}

impl Handle {
    async fn admit(&self, handshake: Handshake) -> Result<Authenticated, Refusal> {
        let claimed = match &handshake.plugin_id {
            Some(text) => Some(PluginId::from_path(text).map_err(|_| Refusal::BadRequest("malformed plugin_id"))?),
            None => None,
        };
        if token::is_external(&handshake.token) {
            return self.admit_external(claimed, handshake.token);
        }
        let id = claimed.ok_or(Refusal::BadRequest("plugin_id is required with this token"))?;
        let slot = self.projection().slot(id).map_err(|_| Refusal::Unauthorised)?;
        let run = token::run_of(&handshake.token).ok_or(Refusal::Unauthorised)?;
        let (reply, answer) = oneshot::channel();
        let token = handshake.token.clone();
        slot.inbox().send(Message::Authenticate { token, reply }).map_err(|_| Refusal::Internal)?;
        match answer.await {
            Ok(true) => Ok(Authenticated { plugin: id, credential: Credential::Run(run), token: handshake.token }),
            Ok(false) => Err(Refusal::Unauthorised),
            Err(_) => Err(Refusal::Internal),
        }
    }

    /// An external token names its plugin by itself; an id beside it has to be the right one (CONTRACT 10.2).
    fn admit_external(&self, claimed: Option<PluginId>, token: String) -> Result<Authenticated, Refusal> {
        let slots = self.projection().slots();
        let found = slots.iter().filter_map(|slot| slot.plugin()).find(|plugin| {
            let ours = plugin.desired.token.as_deref();
            plugin.desired.mode == Mode::External && ours.is_some_and(|ours| token::is_same(ours, &token))
        });
        match found {
            Some(plugin) if claimed.is_none_or(|id| id == plugin.id) => {
                let credential = Credential::Epoch(plugin.desired.token_epoch);
                Ok(Authenticated { plugin: plugin.id, credential, token })
            }
            _ => Err(Refusal::Unauthorised),
        }
    }
}

impl Slot {
    /// Tells the actor; false when it is gone.
    pub(super) fn tell(&self, message: Message) -> bool {
        self.inbox().send(message).is_ok()
    }
}
