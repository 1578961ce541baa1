//! What everybody knows of one webhook: who follows the journal for it, and who is asked about it.

use std::sync::{PoisonError, RwLock};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    delivery::{Outcome, deliver},
    event::Message,
};
use crate::{
    domain::{
        Result,
        hook::{Hook, Progress},
    },
    outbound::Client,
    store::Store,
};

/// One webhook as it is now.
pub(super) struct Shared {
    hook: RwLock<Hook>,
    /// Held by whoever stores it: one after the other, so that the newest is stored last.
    storing: Mutex<()>,
    /// Held while a request is under way: a receiver has one at a time.
    sending: Mutex<()>,
    /// Wakes its follower: it was enabled.
    pub(super) news: Notify,
    /// Ends its follower.
    pub(super) end: CancellationToken,
}

impl Shared {
    pub(super) fn new(hook: Hook, end: CancellationToken) -> Self {
        Self { hook: RwLock::new(hook), storing: Mutex::default(), sending: Mutex::default(), news: Notify::new(), end }
    }

    pub(super) fn hook(&self) -> Hook {
        self.hook.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn progress(&self) -> Progress {
        self.hook.read().unwrap_or_else(PoisonError::into_inner).progress.clone()
    }

    /// Posts a message once it is its turn.
    pub(super) async fn send(&self, client: &Client, message: &Message) -> Outcome {
        let _turn = self.sending.lock().await;
        deliver(client, &self.hook(), message).await
    }

    /// Changes it in memory.
    pub(super) fn change(&self, change: impl FnOnce(&mut Hook)) {
        change(&mut self.hook.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Changes it, once that is stored.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(super) async fn change_durably(&self, store: &Store, change: impl Fn(&mut Hook)) -> Result<Hook> {
        let _turn = self.storing.lock().await;
        let mut changed = self.hook();
        change(&mut changed);
        store.update_hook(changed).await?;
        // Its progress may have gone on meanwhile.
        self.change(change);
        Ok(self.hook())
    }

    /// Stores how far it has come, and answers with that.
    ///
    /// # Errors
    /// As [`Self::change_durably`].
    pub(super) async fn store_progress(&self, store: &Store) -> Result<Progress> {
        let _turn = self.storing.lock().await;
        let hook = self.hook();
        let progress = hook.progress.clone();
        store.note_progress(hook).await?;
        Ok(progress)
    }
}
