//! Opening the store: lock, connect, migrate, load.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait};
use tokio::sync::{mpsc, watch};

use super::{
    Loaded, OnCommit, Options, Store, StoreError,
    address::{Address, Kind},
    connect, convert,
    documents::Documents,
    entity::plugin,
    migration,
    reader::Reader,
    record::{self, Rest},
    seat::{self, Seat},
    server,
    writer::{
        Start, Writer,
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
    let file = options.address.path().map(Path::to_owned);
    read(options).await.map_err(|error| match file {
        Some(file) => error.opening(&file),
        None => error,
    })
}

async fn read(options: Options) -> Result<(Opened, Loaded), StoreError> {
    let Options { address, journal_keep } = options;
    let seat = Seat::take(address).await?;
    let (reader, records, loaded) = match load(&seat).await {
        Ok(read) => read,
        Err(error) => return Err(given_up(seat, error).await),
    };
    let (head, compacted) = (loaded.head, Arc::new(AtomicU64::new(loaded.compacted)));
    let is_whole = loaded.unreadable.is_empty();
    let start = Start { seat, reader: reader.clone(), records, head, journal_keep, compacted };
    Ok((Opened { start, reader, is_whole }, loaded))
}

async fn load(seat: &Seat) -> Result<(Reader, Records, Loaded), StoreError> {
    migration::migrate(seat.db()).await?;
    let row = seat::claim(seat).await?;
    let (epoch, head, compacted) = (row.epoch, convert::unsigned(row.head)?, convert::unsigned(row.compacted)?);
    let (records, unreadable) = records(seat.db()).await?;
    let tokens = tokens::all(seat.db()).await?;
    let reader = Reader::new(readers(seat.address()).await?);
    seat.location().note().await?;
    let loaded = Loaded { epoch, head, compacted, plugins: in_order(&records), unreadable, tokens };
    Ok((reader, records, loaded))
}

/// Leaves the database to the next start, with the room that is reserved for that.
async fn given_up(seat: Seat, error: StoreError) -> StoreError {
    if let Err(error) = seat.release().await {
        tracing::debug!(%error, "a database that can't be read could not be closed either");
    }
    error
}

impl Opened {
    /// Starts the writer. It calls `on_commit` in revision order, with what has just become durable and before the
    /// callers hear of it; the function must neither wait nor panic.
    #[must_use]
    pub fn start(self, on_commit: OnCommit) -> Store {
        let (ops, received) = mpsc::unbounded_channel();
        let (healthy, health) = watch::channel(true);
        let (compacted, location) = (Arc::clone(&self.start.compacted), Arc::clone(self.start.seat.location()));
        tokio::spawn(Writer::new(self.start, on_commit, received, healthy).run());
        Store { ops, health, location, is_whole: self.is_whole, compacted, reader: self.reader }
    }
}

/// A few connections that can only read.
///
/// # Errors
/// The database's own.
pub(super) async fn readers(address: &Address) -> Result<DatabaseConnection, StoreError> {
    match address.kind() {
        Kind::File(path) => connect::readers(path).await,
        Kind::Server(url) => server::readers(url).await,
    }
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
    plugins.sort_by_key(Plugin::place);
    plugins
}
