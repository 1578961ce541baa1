//! Opening the store: lock, connect, migrate, load.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, QueryResult, QueryTrait};
use tokio::sync::{mpsc, watch};

use super::{
    OnCommit, Options, PackageStore, Store, StoreError,
    audit::{self, Sink, Trail},
    batch::Records,
    checkpoint::Checkpoints,
    compaction::{self, Schedule},
    durable::Syncer,
    entity::plugin,
    hooks,
    lease::{self, Leadership, Lease, Node, RunOut},
    metrics::Metrics,
    reader::Reader,
    rows::{References, unsigned},
    tokens,
    writer::{Start, Writer},
};
use crate::domain::{Plugin, Result, access::AccessToken, hook::Hook};

/// What the store remembers when it is opened.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Names the database, for as long as it exists.
    pub database_id: String,
    /// Names this history of revisions; another store has another.
    pub epoch: String,
    /// The newest revision; 0 when there is none.
    pub head: u64,
    /// Revisions up to this one are no longer in the journal.
    pub compacted: u64,
    /// All plugins, in the order of their installation.
    pub plugins: Vec<Plugin>,
    /// Ids of plugins whose records can't be understood. They are left as they are, for a plugd or a person who can.
    pub unreadable: Vec<String>,
    /// All access tokens, by time of creation and id.
    pub tokens: Vec<AccessToken>,
    /// All webhooks, in the order of their ids.
    pub hooks: Vec<Hook>,
    /// What the leader of a cluster knows of its lease; none for a plugd that is alone, or follows.
    pub leadership: Option<Leadership>,
}

/// A store that is open and does not write yet: its owner reads [`Loaded`] first.
pub struct Opened {
    pub(super) start: Start,
    reader: Reader,
    audit: Sink,
    is_whole: bool,
}

/// Opens the store, creating it where there is none, and reads what it remembers.
///
/// # Errors
/// [`StoreError`]: another plugd has it, a newer plugd wrote it, or it can't be read.
pub async fn open(options: Options) -> Result<(Opened, Loaded), StoreError> {
    let address = options.address.clone();
    read(options, None).await.map_err(|error| error.opening(&address))
}

/// Opens the store as a node of a cluster, which leads it then and is reached at this address by the others. It takes a lease
/// that was handed over, or the one that it has seen run out.
///
/// # Errors
/// As [`open`]; [`StoreError::Led`] while another node leads.
pub async fn open_as_leader(
    options: Options,
    address: String,
    run_out: Option<RunOut>,
) -> Result<(Opened, Loaded), StoreError> {
    read(options, Some(Node::at(address, run_out))).await
}

async fn read(options: Options, node: Option<Node>) -> Result<(Opened, Loaded), StoreError> {
    let Options { address, journal_keep, audit_keep } = options;
    let lease = Lease::open_as(address, node).await?;
    let (reader, records, (is_behind, ends), loaded) = match load(&lease).await {
        Ok(read) => read,
        Err(error) => return Err(given_up(lease, error).await),
    };
    let (head, compacted) = (loaded.head, Arc::new(AtomicU64::new(loaded.compacted)));
    let is_whole = loaded.unreadable.is_empty();
    let schedule = Schedule::keeping(journal_keep, is_behind);
    let (trail, audit) = Trail::keeping(audit_keep, ends);
    let checkpoints = Checkpoints::start((!lease.is_remote()).then(|| reader.0.clone()));
    let metrics = Metrics::default();
    let start = Start { lease, records, head, schedule, compacted, audit: trail, checkpoints, metrics };
    Ok((Opened { start, reader, audit, is_whole }, loaded))
}

async fn load(lease: &Lease) -> Result<(Reader, Records, (bool, (u64, u64)), Loaded), StoreError> {
    let row = lease.take().await?;
    let (head, compacted) = (unsigned(row.head)?, unsigned(row.compacted)?);
    let (records, unreadable) = records(lease.db()).await?;
    let left = (compaction::is_behind(lease.db(), compacted).await?, audit::ends(lease.db()).await?);
    let (plugins, tokens) = (records.in_order(), tokens::all(lease.db()).await?);
    let hooks = hooks::all(lease.db()).await?;
    let reader = Reader::new(lease::readers(lease.address()).await?);
    lease.location().remember().await?;
    let (database_id, epoch, leadership) = (row.database_id, row.epoch, lease.leadership(unsigned(row.term)?));
    let loaded = Loaded { database_id, epoch, head, compacted, plugins, unreadable, tokens, hooks, leadership };
    Ok((reader, records, left, loaded))
}

/// Leaves the database to the next start.
async fn given_up(lease: Lease, error: StoreError) -> StoreError {
    // Nothing is noted by one that did not get as far as to be the owner.
    let closed = lease.mark_closed().await;
    if let Err(error) = lease.release().await.and(closed) {
        tracing::debug!(%error, "a database that can't be read could not be closed either");
    }
    error
}

impl Opened {
    /// The packages of the database with this id. Their files are below this folder; on a server they are in the database too,
    /// of which the files are copies.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn packages(&self, folder: &Path, database_id: &str) -> Result<PackageStore> {
        let lease = &self.start.lease;
        PackageStore::of(lease.address(), folder, database_id, lease.owner()).await
    }

    /// Starts the writer. It calls `on_commit` in revision order, with what has just been committed and before the
    /// callers hear of it; the function must neither wait nor panic.
    pub fn start(self, on_commit: OnCommit) -> Store {
        let (ops, received) = mpsc::unbounded_channel();
        let (healthy, health) = watch::channel(true);
        let (compacted, location) = (Arc::clone(&self.start.compacted), Arc::clone(self.start.lease.location()));
        let metrics = self.start.metrics.clone();
        let syncer = Syncer::start(Arc::clone(&location), metrics.clone());
        let durable = syncer.durable(Arc::clone(&location));
        tokio::spawn(Writer::new(self.start, on_commit, syncer, received, healthy).run());
        let Self { is_whole, reader, audit, .. } = self;
        Store { ops, health, durable, location, is_whole, compacted, reader, audit, metrics }
    }
}

/// The records, and the ids of those that can't be understood: one of them must not keep all others from being run.
pub(super) async fn records(db: &impl ConnectionTrait) -> Result<(Records, Vec<String>), StoreError> {
    let (mut rows, mut unreadable) = (Vec::new(), Vec::new());
    for found in db.query_all(plugin::Entity::find().as_query()).await? {
        match plugin::Model::from_query_result(&found, "") {
            Ok(row) => rows.push(row),
            Err(error) => unreadable.push(left_out(id(&found)?, &error.into())),
        }
    }
    let references = References::load(db, &rows).await?;
    let mut records = Records::default();
    for row in rows {
        let id = row.id;
        match references.record(row) {
            Ok(record) => records.put(record),
            Err(error) => unreadable.push(left_out(id.to_string(), &error)),
        }
    }
    Ok((records, unreadable))
}

fn id(row: &QueryResult) -> Result<String, StoreError> {
    Ok(row.try_get("", "id")?)
}

fn left_out(id: String, error: &StoreError) -> String {
    tracing::error!(plugin = id, %error, "a plugin is left out: its record can't be read, and is kept");
    id
}
