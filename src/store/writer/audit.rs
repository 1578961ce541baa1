//! How the writer stores the audit trail: beside the changes, in transactions of its own.

use super::{Writer, within};
use crate::store::audit::{self, BATCH, QUEUE};

impl Writer {
    /// Stores some of the events that wait. What fails is tried again once the database is back.
    pub(super) async fn audit(&mut self) {
        let rows = self.start.audit.take();
        match self.guarded(async |lease| audit::write(lease, &rows).await).await {
            Ok(()) => self.forget_audited().await,
            Err(_) => self.start.audit.put_back(rows),
        }
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
    async fn forget_audited(&mut self) {
        let Some(upto) = self.start.audit.due() else { return };
        let done = within(audit::forget(&self.start.lease, upto)).await;
        self.start.audit.learn(upto, done.is_ok());
        if let Err(error) = done {
            tracing::warn!(%error, "old events of the audit trail could not be forgotten yet");
            self.renew_connection().await;
        }
    }
}
