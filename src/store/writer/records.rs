//! How the writer changes what is not in the journal: access tokens and webhooks, a transaction each.

use super::{Writer, send, within};
use crate::{
    domain,
    store::{
        StoreError,
        batch::{HookOp, TokenOp},
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
            HookOp::Update { hook, durability, reply } => {
                let updated = self.guarded(async |lease| hooks::update(lease, *hook, durability).await).await;
                send(Some(reply), updated.and_then(|updated| updated));
            }
            HookOp::Delete { id, reply } => {
                let deleted = self.guarded(async |lease| hooks::delete(lease, id).await).await;
                send(Some(reply), deleted);
            }
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
        within(work).await.map_err(|error| {
            if error.is_conflict() {
                tracing::error!(%error, "a change of a token or a webhook contradicts what is stored, and is refused");
                return contradicted();
            }
            self.fail_over(&error);
            self.start.lease.location().refusal()
        })
    }
}
