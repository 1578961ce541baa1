//! Opening the store: lock, connect, migrate, load.

use std::{
    collections::HashMap,
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
}

/// Opens the store, creating it where there is none, and reads what it remembers.
///
/// # Errors
/// [`StoreError`]: another plugd has it, a newer plugd wrote it, or it can't be read.
pub async fn open(options: Options) -> Result<(Opened, Loaded), StoreError> {
    let Options { url, journal_keep } = options;
    let seat = Seat::take(Address::parse(&url)?).await?;
    migration::migrate(seat.db()).await?;
    let row = seat::claim(&seat).await?;
    let (epoch, head, compacted) = (row.epoch, convert::unsigned(row.head)?, convert::unsigned(row.compacted)?);
    let records = records(seat.db()).await?;
    let tokens = tokens::all(seat.db()).await?;
    let reader = Reader::new(readers(seat.address()).await?);
    let loaded = Loaded { epoch, head, compacted, plugins: in_order(&records), tokens };
    let compacted = Arc::new(AtomicU64::new(compacted));
    let start = Start { seat, records, head, journal_keep, compacted };
    Ok((Opened { start, reader }, loaded))
}

impl Opened {
    /// Starts the writer. It calls `on_commit` in revision order, with what has just become durable and before the
    /// callers hear of it; the function must neither wait nor panic.
    #[must_use]
    pub fn start(self, on_commit: OnCommit) -> Store {
        let (ops, received) = mpsc::unbounded_channel();
        let (healthy, health) = watch::channel(true);
        let compacted = Arc::clone(&self.start.compacted);
        tokio::spawn(Writer::new(self.start, on_commit, received, healthy).run());
        Store { ops, health, compacted, reader: self.reader }
    }
}

/// A few connections that can only read.
///
/// # Errors
/// The database's own.
pub(super) async fn readers(address: &Address) -> Result<DatabaseConnection, StoreError> {
    match address.kind() {
        Kind::Sqlite => connect::readers(address.url()).await,
        Kind::Postgres | Kind::MySql => server::readers(address).await,
    }
}

async fn records(db: &impl ConnectionTrait) -> Result<Records, StoreError> {
    let rows = plugin::Entity::find().all(db).await?;
    let digests = rows.iter().flat_map(|row| [&row.manifest, &row.configuration]);
    let mut documents = Documents::load(db, digests).await?;
    let records = rows.into_iter().map(|row| record(&row, &mut documents));
    records.map(|record| record.map(|record| (record.plugin.id, record))).collect::<Result<HashMap<_, _>, _>>()
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
