//! How the writer changes what is not in the journal: access tokens, webhooks, and the audit trail as far as no change has taken
//! its events along.

use super::{Writer, in_turn, send};
use crate::{
    domain::{self, hook::Hook},
    store::{
        StoreError,
        audit::{self, BATCH, QUEUE},
        batch::{HookOp, Reply, TokenOp},
        error::contradicted,
        hooks,
        lease::Lease,
        tokens,
    },
};

impl Writer {
    pub(super) async fn change_token(&mut self, op: TokenOp) {
        match op {
            TokenOp::Create { token, reply } => {
                let created = self.guarded(async |lease| tokens::create(lease, token).await).await;
                send(Some(reply), created);
            }
            TokenOp::Revoke { id, reply } => {
                let revoked = self.guarded(async |lease| tokens::revoke(lease, id).await).await;
                send(Some(reply), revoked.and_then(|revoked| revoked));
            }
        }
    }

    pub(super) async fn change_hook(&mut self, op: HookOp) {
        match op {
            HookOp::Create { hook, reply } => {
                let created = self.guarded(async |lease| hooks::create(lease, *hook).await).await;
                send(Some(reply), created);
            }
            HookOp::Update { hook, reply } => {
                let updated = self.guarded(async |lease| hooks::update(lease, *hook).await).await;
                send(Some(reply), updated.and_then(|updated| updated));
            }
            HookOp::Delete { id, reply } => {
                let deleted = self.guarded(async |lease| hooks::delete(lease, id).await).await;
                send(Some(reply), deleted);
            }
        }
    }

    /// Stores how far webhooks have come, of all that came together at once: there is much of it, and none is urgent.
    pub(super) async fn note(&mut self, notes: Vec<(Hook, Reply<()>)>) {
        if notes.is_empty() {
            return;
        }
        let (hooks, replies): (Vec<_>, Vec<_>) = notes.into_iter().unzip();
        match self.guarded(async |lease| hooks::note(lease, hooks).await).await {
            Ok(noted) => replies.into_iter().zip(noted).for_each(|(reply, noted)| send(Some(reply), noted)),
            Err(error) => replies.into_iter().for_each(|reply| send(Some(reply), Err(error.clone()))),
        }
    }

    /// Stores some of the events that wait. What fails is tried again once the database is back.
    pub(super) async fn audit(&mut self) {
        let (nothing, _) = self.batch(&[]);
        if let Err(error) = self.commit(nothing, false).await {
            self.fail_over(&error);
        }
        self.forget_audited().await;
    }

    /// Stores all events that wait now.
    pub(super) async fn audit_all(&mut self) {
        for _ in 0..=QUEUE / BATCH {
            if self.retry.is_some() || self.start.audit.len() == 0 {
                return;
            }
            self.audit().await;
        }
    }

    /// Forgets some of the oldest events, if it is time to.
    pub(super) async fn forget_audited(&mut self) {
        let due = self.start.audit.due().filter(|_| self.retry.is_none());
        let Some(upto) = due else { return };
        let done = in_turn(&self.start.lease, audit::forget(&self.start.lease, upto)).await;
        self.start.audit.learn(upto, done.is_ok());
        if let Err(error) = done {
            tracing::warn!(%error, "old events of the audit trail could not be forgotten yet");
            self.renew_connection().await;
        }
    }

    /// Does some work on the database, unless it is away.
    async fn guarded<T>(&mut self, work: impl AsyncFnOnce(&Lease) -> Result<T, StoreError>) -> domain::Result<T> {
        if self.retry.is_some() {
            return Err(self.start.lease.location().refusal());
        }
        let lease = &self.start.lease;
        let work = async {
            lease.location().check_with_reserve().await?;
            let done = work(lease).await;
            if done.is_err() {
                // What failed may have failed because a file is gone.
                lease.location().check().await?;
            }
            done
        };
        in_turn(lease, work).await.map_err(|error| {
            if error.is_conflict() {
                tracing::error!(%error, "a change of a token or a webhook contradicts what is stored, and is refused");
                return contradicted();
            }
            self.fail_over(&error);
            self.start.lease.location().refusal()
        })
    }
}
