//! What the nodes of a cluster tell of themselves, on a server alone: a row a node, which it writes every second whatever it is,
//! and which any node reads. One that says that it leads is believed where the row of `store` says so, too.
//!
//! The clock of the database decides who was heard of of late. It may be set back: what was told in its future counts for nothing.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, FromQueryResult, Statement, Value, entity::prelude::DateTimeUtc,
};

use super::{
    Address, StoreError,
    address::{Kind, refused},
    entity::ROW,
    migration, postgres,
    rows::{from_column, plain, signed, to_column, unsigned},
    writer::within,
};

/// The nodes that are told of at the most.
const MOST: i32 = 100;

/// Makes the table. What a crash of the server takes of it is there again a second later.
pub(super) const TABLE: &str = "
    CREATE UNLOGGED TABLE node (
        address text PRIMARY KEY,
        started timestamptz NOT NULL,
        host_name text NOT NULL,
        version text NOT NULL,
        revision bigint,
        behind bigint NOT NULL,
        lag double precision,
        term bigint,
        seen timestamptz NOT NULL
    )";

/// Whoever tells of itself forgets those that have not for an hour. Of two that tell the same address the one that was started later
/// has the row.
const TELL: &str = "
    WITH forgotten AS (DELETE FROM node WHERE seen < now() - interval '1 hour' AND address <> $1)
    INSERT INTO node (address, started, host_name, version, revision, behind, lag, term, seen)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
    ON CONFLICT (address) DO UPDATE SET
        (started, host_name, version, revision, behind, lag, term, seen) = (excluded.started, excluded.host_name,
            excluded.version, excluded.revision, excluded.behind, excluded.lag, excluded.term, excluded.seen)
        WHERE node.started <= excluded.started OR node.seen < now() - interval '5 seconds'";

/// Another that has been started at the same address since stays.
const WITHDRAW: &str = "DELETE FROM node WHERE address = $1 AND started = $2";

const LIST: &str = "
    SELECT node.address, started, host_name, version, revision, behind, lag, seen,
        seen BETWEEN now() - interval '5 seconds' AND now() + interval '5 seconds' AS is_present,
        CASE WHEN node.term = store.term AND NOT store.closed AND store.until > now() THEN store.term END AS term
    FROM node LEFT JOIN store ON store.id = $1
    ORDER BY is_present DESC, address LIMIT $2";

/// One of several plugd on one database.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the others reach it.
    pub address: String,
    /// When it was started.
    pub started: Timestamp,
    /// What its host is called.
    pub host_name: String,
    /// Its version.
    pub version: String,
    /// How far it is; none while it neither leads nor follows.
    pub reach: Option<Reach>,
    /// The term in which it leads, if it does.
    pub term: Option<u64>,
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// The newest revision that it has.
    pub revision: u64,
    /// Revisions that it knows of and has not read yet.
    pub behind: u64,
    /// How long ago it had read everything.
    pub lag: Duration,
}

/// A node as it told of itself last.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// What it told.
    pub node: Node,
    /// When.
    pub time: Timestamp,
    /// That was of late.
    pub is_present: bool,
}

/// Tells of a node.
pub struct Presence(DatabaseConnection);

impl Presence {
    /// Tells the database at this address.
    ///
    /// # Errors
    /// [`StoreError`]: it can't be reached, or is a file, which has no nodes.
    pub async fn of(address: &Address) -> Result<Self, StoreError> {
        match address.kind() {
            Kind::Server(url) => Ok(Self(postgres::workers(url, 1).await?)),
            Kind::File(_) => Err(refused("it is a file, which one plugd uses alone")),
        }
    }

    /// Tells what the node is now. False if a node that was started later tells the same address of itself.
    ///
    /// # Errors
    /// The database's own.
    pub async fn tell(&self, node: &Node) -> Result<bool, StoreError> {
        let lag = node.reach.map(|reach| reach.lag.as_secs_f64());
        let values: [Value; 8] = [
            node.address.as_str().into(),
            to_column(node.started).into(),
            plain(&node.host_name).into(),
            node.version.as_str().into(),
            node.reach.map(|reach| signed(reach.revision)).into(),
            node.reach.map_or(0, |reach| signed(reach.behind)).into(),
            lag.into(),
            node.term.map(signed).into(),
        ];
        Ok(self.execute(TELL, values).await? > 0)
    }

    /// Has the node forgotten, as it ends.
    ///
    /// # Errors
    /// The database's own.
    pub async fn withdraw(&self, node: &Node) -> Result<(), StoreError> {
        self.execute(WITHDRAW, [node.address.as_str().into(), to_column(node.started).into()]).await.map(drop)
    }

    /// The number of rows that it changed.
    async fn execute<const N: usize>(&self, sql: &str, values: [Value; N]) -> Result<u64, StoreError> {
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, values);
        within(async { Ok(self.0.execute_raw(statement).await?.rows_affected()) }).await
    }
}

/// The nodes on the database at this address, as [`super::Store::nodes`] has them; none on a file.
///
/// # Errors
/// [`StoreError`]: it can't be reached or read.
pub async fn nodes(address: &Address) -> Result<Vec<Seen>, StoreError> {
    let Kind::Server(url) = address.kind() else { return Ok(Vec::new()) };
    let db = postgres::readers(url).await?;
    let found = within(async { if migration::is_begun(&db).await? { list(&db).await } else { Ok(Vec::new()) } }).await;
    db.close().await?;
    found
}

/// All that are known: those first that were heard of of late, then by address.
pub(super) async fn list(db: &DatabaseConnection) -> Result<Vec<Seen>, StoreError> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, LIST, [ROW.into(), MOST.into()]);
    let rows = Row::find_by_statement(statement).all(db).await?;
    rows.into_iter().map(seen).collect()
}

#[derive(FromQueryResult)]
struct Row {
    address: String,
    started: DateTimeUtc,
    host_name: String,
    version: String,
    revision: Option<i64>,
    behind: i64,
    lag: Option<f64>,
    seen: DateTimeUtc,
    is_present: bool,
    term: Option<i64>,
}

fn seen(row: Row) -> Result<Seen, StoreError> {
    let reach = |revision| -> Result<Reach, StoreError> {
        let lag = Duration::try_from_secs_f64(row.lag.unwrap_or_default()).unwrap_or_default();
        Ok(Reach { revision: unsigned(revision)?, behind: unsigned(row.behind)?, lag })
    };
    let node = Node {
        reach: row.revision.map(reach).transpose()?,
        started: from_column(row.started)?,
        address: row.address,
        host_name: row.host_name,
        version: row.version,
        term: row.term.map(unsigned).transpose()?,
    };
    Ok(Seen { node, time: from_column(row.seen)?, is_present: row.is_present })
}
