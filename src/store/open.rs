//! Opening the store: lock, connect, migrate, load.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseConnection, EntityTrait};
use tokio::sync::{mpsc, watch};

use super::{
    Loaded, OnCommit, Options, Store, StoreError, connect, convert,
    documents::Documents,
    entity::{plugin, store},
    migration,
    reader::Reader,
    record::{self, Rest},
    writer::{
        Start, Writer,
        commit::standing,
        plan::{Record, Records},
        tokens,
    },
};
use crate::domain::Plugin;

/// A store that is open and does not write yet: its owner reads [`Loaded`] first.
pub struct Opened {
    pub(super) start: Start,
    reader: Reader,
    is_whole: bool,
}

/// Opens the store, creating it where there is none, and reads what it remembers.
///
/// # Errors
/// [`StoreError`]: another plugd has it, a newer plugd wrote it, or it can't be read.
pub async fn open(options: Options) -> Result<(Opened, Loaded), StoreError> {
    let (lock, place) = connect::lock(&options.url)?;
    let db = connect::writer(&options.url).await?;
    migration::migrate(&db).await?;
    let epoch = epoch(&db).await?;
    let (head, compacted) = standing(&db).await?;
    let (records, unreadable) = records(&db).await?;
    let tokens = tokens::all(&db).await?;
    let reader = Reader::new(connect::readers(&options.url).await?);
    let is_whole = unreadable.is_empty();
    let loaded = Loaded { epoch, head, compacted, plugins: in_order(&records), unreadable, tokens };
    let compacted = Arc::new(AtomicU64::new(compacted));
    let Options { url, journal_keep } = options;
    let start = Start { url, db, lock, place: Arc::new(place), records, head, journal_keep, compacted };
    Ok((Opened { start, reader, is_whole }, loaded))
}

impl Opened {
    /// Starts the writer. It calls `on_commit` in revision order, with what has just become durable and before the
    /// callers hear of it; the function must neither wait nor panic.
    #[must_use]
    pub fn start(self, on_commit: OnCommit) -> Store {
        let (ops, received) = mpsc::unbounded_channel();
        let (healthy, health) = watch::channel(true);
        let (compacted, place) = (Arc::clone(&self.start.compacted), Arc::clone(&self.start.place));
        tokio::spawn(Writer::new(self.start, on_commit, received, healthy).run());
        Store { ops, health, place, is_whole: self.is_whole, compacted, reader: self.reader }
    }
}

/// The epoch: made when the store is, and never again.
async fn epoch(db: &DatabaseConnection) -> Result<String, StoreError> {
    if let Some(row) = store::Entity::find_by_id(store::ROW).one(db).await? {
        return Ok(row.epoch);
    }
    let epoch = xid::new().to_string();
    let row = store::ActiveModel { id: Set(store::ROW), epoch: Set(epoch.clone()), head: Set(0), compacted: Set(0) };
    store::Entity::insert(row).exec_without_returning(db).await?;
    Ok(epoch)
}

/// The records, and the ids of those that can't be understood: one of them must not keep all others from being run.
async fn records(db: &impl ConnectionTrait) -> Result<(Records, Vec<String>), StoreError> {
    let rows = plugin::Entity::find().all(db).await?;
    let digests = rows.iter().flat_map(|row| [&row.manifest, &row.configuration]);
    let mut documents = Documents::load(db, digests).await?;
    let (mut records, mut unreadable) = (HashMap::new(), Vec::new());
    for row in rows {
        match record(&row, &mut documents) {
            Ok(record) => drop(records.insert(record.plugin.id, record)),
            Err(error) => {
                tracing::error!(plugin = row.id, %error, "a plugin is left out: its record can't be read, and is kept");
                unreadable.push(row.id);
            }
        }
    }
    Ok((records, unreadable))
}

fn record(row: &plugin::Model, documents: &mut Documents) -> Result<Record, StoreError> {
    let manifest = convert::digest(&row.manifest)?;
    let configuration = convert::digest(&row.configuration)?;
    let rest = Rest {
        id: convert::parse(&row.id)?,
        revision: convert::unsigned(row.revision)?,
        manifest: documents.manifest(manifest)?,
        configuration: documents.configuration(configuration)?,
    };
    Ok(Record { plugin: Arc::new(record::decode(&row.record, rest)?), manifest, configuration })
}

fn in_order(records: &Records) -> Vec<Plugin> {
    let mut plugins: Vec<Plugin> = records.values().map(|record| Plugin::clone(&record.plugin)).collect();
    plugins.sort_by_key(|plugin| (plugin.created, plugin.id));
    plugins
}
