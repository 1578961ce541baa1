//! How the writer stores the events of the audit trail that no change has taken along.

use super::{Writer, within};
use crate::store::audit::{self, BATCH, QUEUE};

impl Writer {
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
        let done = within(audit::forget(&self.start.lease, upto)).await;
        self.start.audit.learn(upto, done.is_ok());
        if let Err(error) = done {
            tracing::warn!(%error, "old events of the audit trail could not be forgotten yet");
            self.renew_connection().await;
        }
    }
}
