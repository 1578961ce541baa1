//! What plugd remembers: plugins, the journal of their changes, access tokens, packages.
//!
//! One writer task owns every record and makes every change; it gives each the next revision in the transaction that
//! stores it. Reads come from the owner's memory, or from connections that can only read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, ready};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use self::{
    batch::{Change, HookOp, Op, Reply, TokenOp, What},
    durable::Durable,
    error::unavailable,
    location::Location,
    reader::Reader,
};
use crate::domain::{
    Commit, Desired, HookId, Plugin, PluginId, Reported, Result, TokenId,
    access::AccessToken,
    audit::{AuditEvent, AuditFilter},
    hook::Hook,
};

mod address;
mod audit;
mod batch;
mod checkpoint;
mod commit;
mod compaction;
mod durable;
#[allow(unreachable_pub, missing_docs, reason = "sea-orm's derives write `pub` items without docs")]
mod entity;
mod error;
mod examine;
mod follow;
mod hooks;
mod lease;
mod location;
mod metrics;
mod migration;
mod nodes;
mod open;
mod package_rows;
mod packages;
mod postgres;
mod reader;
mod rows;
mod sqlite;
mod statement;
mod tokens;
mod transfer;
mod wal;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use address::Address;
pub use error::StoreError;
pub use examine::{examine, has_log, user_of};
pub use follow::{Feed, Look, follow};
pub use lease::{LEASE, Leadership, RunOut};
pub use metrics::Metrics;
pub use nodes::{Node, Presence, Reach, Seen, nodes};
pub use open::{Loaded, Opened, open, open_as_leader};
pub use packages::{GRACE, PackageStore};
pub use reader::ConfigurationRevision;
pub use transfer::{Blank, Hold, Rows, Snapshot, Standing, Table};

/// How long a change waits for its turn and its transaction. Many times what the writer gives the database: it is the last
/// resort, and nobody can tell after it whether the change was made.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long [`Store::flush`] waits.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long [`Store::close`] waits after that for the database to be closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the store is and how much it keeps.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the database is.
    pub address: Address,
    /// Revisions that the journal keeps; it may be up to a tenth longer.
    pub journal_keep: u64,
    /// Events that the audit trail keeps; it may be up to a tenth longer.
    pub audit_keep: u64,
}

/// Is told of what was committed, in revision order and without gaps.
pub type OnCommit = Box<dyn Fn(&[Arc<Commit>]) + Send + Sync>;

/// A handle on the running store. Cheap to clone. The store ends with [`Store::close`], or with its last handle.
///
/// Every change answers `STORE_UNAVAILABLE` at once while the database is away. Where the database failed in the
/// middle of one, it may have been made all the same: watchers hear of it once the database is back.
#[derive(Clone)]
pub struct Store {
    ops: mpsc::UnboundedSender<Op>,
    health: watch::Receiver<bool>,
    durable: Durable,
    location: Arc<Location>,
    is_whole: bool,
    compacted: Arc<AtomicU64>,
    reader: Reader,
    audit: audit::Sink,
    metrics: Metrics,
}

impl Store {
    /// Stores a new plugin. Its `revision`, and that of its installation, is ignored: it gets the next one. Where a request
    /// of the same name has installed one already, that one is the answer.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`; `INTERNAL` when the id is taken.
    pub async fn install(&self, plugin: Plugin) -> Result<Arc<Plugin>> {
        self.change(What::Install(Box::new(plugin))).await
    }

    /// Stores what is desired of a plugin; what is reported stays as it is. A configuration of a higher revision goes
    /// into the plugin's history under this author. No change takes no revision. It takes effect now, and is to be answered
    /// once it is [`Self::durable`].
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn desire(&self, id: PluginId, desired: Desired, author: &str) -> Result<Arc<Plugin>> {
        self.change(What::Desire { id, desired: Box::new(desired), author: author.to_owned() }).await
    }

    /// Waits, at most 30 s, until what was desired up to this revision survives a power cut.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when nobody knows whether it does.
    pub fn durable(&self, revision: u64) -> BoxFuture<'static, Result<()>> {
        if self.durable.has(revision) {
            return Box::pin(ready(Ok(())));
        }
        let reached = self.durable.clone().reach(revision);
        Box::pin(async { timeout(ANSWER_TIMEOUT, reached).await.unwrap_or_else(|_| Err(unavailable())) })
    }

    /// Stores what is reported of a plugin; what is desired stays as it is. Never waits. Each report that says
    /// something new is stored, except that only the newest of a plugin is kept while the database is away. A report
    /// of a plugin that is gone is dropped.
    pub fn report(&self, id: PluginId, reported: Reported) {
        let what = What::Report { id, reported: Box::new(reported) };
        if self.ops.send(Op::Change(Change { what, reply: None })).is_err() {
            tracing::warn!(plugin_id = %id, "a report came after the store was closed");
        }
    }

    /// Removes a plugin and its history; answers with its last record.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn remove(&self, id: PluginId) -> Result<Arc<Plugin>> {
        self.change(What::Remove { id }).await
    }

    /// Stores a new access token, and deletes those that had expired when it was created.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn create_token(&self, token: AccessToken) -> Result<()> {
        self.ask(|reply| Op::Token(TokenOp::Create { token, reply })).await
    }

    /// Deletes an access token and answers with it.
    ///
    /// # Errors
    /// `TOKEN_NOT_FOUND`; `LAST_ADMIN_TOKEN` when no other administrator's token still works; `STORE_UNAVAILABLE`.
    pub async fn revoke_token(&self, id: TokenId) -> Result<AccessToken> {
        self.ask(|reply| Op::Token(TokenOp::Revoke { id, reply })).await
    }

    /// Access tokens after this one that have not expired, in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<AccessToken>> {
        self.reader.read(|db| async move { tokens::page(&db, after, Timestamp::now(), limit).await }).await
    }

    /// Stores a new webhook.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn create_hook(&self, hook: Hook) -> Result<()> {
        self.ask(|reply| Op::Hook(HookOp::Create { hook: Box::new(hook), reply })).await
    }

    /// Stores a webhook in place of the one with its id.
    ///
    /// # Errors
    /// `HOOK_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn update_hook(&self, hook: Hook) -> Result<()> {
        self.ask(|reply| Op::Hook(HookOp::Update { hook: Box::new(hook), reply })).await
    }

    /// The same where only its progress is another, which a power cut may take back.
    ///
    /// # Errors
    /// As [`Self::update_hook`].
    pub async fn note_progress(&self, hook: Hook) -> Result<()> {
        self.ask(|reply| Op::Note { hook: Box::new(hook), reply }).await
    }

    /// Deletes a webhook. One that is gone already stays so.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn delete_hook(&self, id: HookId) -> Result<()> {
        self.ask(|reply| Op::Hook(HookOp::Delete { id, reply })).await
    }

    /// Hands an event to the audit trail. Never waits. While the database is away 4096 events wait for it; what comes then
    /// is lost, and plugd's log says how much.
    pub fn audit(&self, event: AuditEvent) {
        self.audit.add(event);
    }

    /// How many events the audit trail lacks since one found room the last time.
    pub fn audit_lost(&self) -> u64 {
        self.audit.lost()
    }

    /// Events of the audit trail, newest first: those before this one, at most `limit`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn audit_events(&self, filter: AuditFilter, before: Option<u64>, limit: u64) -> Result<Vec<AuditEvent>> {
        self.reader.read(|db| audit::page(db, filter, before, limit)).await
    }

    /// The commits after this revision, oldest first: at most `limit`, and at most 1024. None when it is the newest.
    ///
    /// # Errors
    /// `REVISION_COMPACTED` when commits after it are no longer kept and `REVISION_UNKNOWN` when it does not exist yet,
    /// both with metadata `compact_revision` and `head_revision`; `STORE_UNAVAILABLE`.
    pub async fn journal_after(&self, revision: u64, limit: usize) -> Result<Vec<Arc<Commit>>> {
        self.reader.read(|db| reader::journal_after(db, revision, limit as u64)).await?
    }

    /// What happened to a plugin, or to all, newest first: the commits before this revision, at most `limit`, and at most 1024.
    /// Of what they need besides the journal they have nothing: no manifest but its names, no configuration.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn plugin_events(&self, id: Option<PluginId>, before: Option<u64>, limit: u64) -> Result<Vec<Commit>> {
        self.reader.read(|db| reader::plugin_events(db, id, before, limit)).await
    }

    /// Revisions up to this one are no longer in the journal. Cheap.
    pub fn compacted(&self) -> u64 {
        self.compacted.load(Ordering::Relaxed)
    }

    /// What is measured of the store.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Those of these plugins that were deleted, as far as the journal knows.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn deleted(&self, ids: &[PluginId]) -> Result<Vec<PluginId>> {
        self.reader.read(|db| reader::deleted(db, ids)).await
    }

    /// The newest 100 configurations that a plugin has had, newest first: those of revisions below `before`, at most
    /// `limit`. None for a plugin that does not exist.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn configuration_revisions(
        &self,
        id: PluginId,
        before: Option<u64>,
        limit: u64,
    ) -> Result<Vec<ConfigurationRevision>> {
        self.reader.read(|db| reader::configurations(db, id, before, limit)).await
    }

    /// The nodes of the cluster that this plugd is one of, at most 100: those first that were heard of of late, then by address.
    /// Only on a server.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn nodes(&self) -> Result<Vec<Seen>> {
        self.reader.read(|db| async move { nodes::list(&db).await }).await
    }

    /// Whether the database answers. False, too, once the store is closed: for ever, as the sender is gone then. It also
    /// closes by itself, when another plugd has taken the database over.
    pub fn healthy(&self) -> watch::Receiver<bool> {
        self.health.clone()
    }

    /// Answers as every change does while the database is known to be away.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub fn check(&self) -> Result<()> {
        if *self.health.borrow() { Ok(()) } else { Err(self.location.refusal()) }
    }

    /// Whether every plugin's record could be read. Where not, nobody knows what the others may need.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Waits, at most 5 s, until everything asked for so far is durable.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when it is not by then.
    pub async fn flush(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.ops.send(Op::Flush(reply)).map_err(|_| unavailable())?;
        let flushed = async {
            answer.await.map_err(|_| unavailable())??;
            self.durable(self.durable.wanted()).await
        };
        timeout(FLUSH_TIMEOUT, flushed).await.unwrap_or_else(|_| Err(unavailable()))
    }

    /// Flushes and ends the store, for all of its handles. Takes at most 15 s, whatever the database does.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE` when something did not become durable or the database did not close.
    pub async fn close(self) -> Result<()> {
        self.end(Op::Close).await
    }

    /// The same, but the lease of a cluster's leader is left to run out: nobody leads before that.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub async fn close_keeping_lease(self) -> Result<()> {
        self.end(Op::CloseKeepingLease).await
    }

    async fn end(self, op: impl FnOnce(oneshot::Sender<()>) -> Op) -> Result<()> {
        let flushed = self.flush().await;
        timeout(CLOSE_TIMEOUT, self.disconnect(op)).await.unwrap_or_else(|_| Err(unavailable()))?;
        flushed
    }

    async fn disconnect(&self, op: impl FnOnce(oneshot::Sender<()>) -> Op) -> Result<()> {
        // The writer's connection comes last: it takes the write-ahead log into the database.
        self.reader.close().await;
        let (reply, closed) = oneshot::channel();
        self.ops.send(op(reply)).map_err(|_| unavailable())?;
        closed.await.map_err(|_| unavailable())
    }

    async fn change(&self, what: What) -> Result<Arc<Plugin>> {
        let op = |reply| Op::Change(Change { what, reply: Some(reply) });
        // The writer knows what can be stored on a full disk.
        if self.location.is_full() { self.send(op).await } else { self.ask(op).await }
    }

    async fn ask<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T> {
        self.check()?;
        self.send(op).await
    }

    /// As [`Self::ask`], also for what can be stored on a full disk.
    async fn send<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.ops.send(op(reply)).map_err(|_| unavailable())?;
        match timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer,
            _ => Err(unavailable()),
        }
    }
}
