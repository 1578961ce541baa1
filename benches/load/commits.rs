//! Changes of what is desired that survive a power cut, from as many clients as a commit may have changes, against rows of the
//! same size that SQLite itself commits in groups as large, and syncs.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use plugd::api::v1::RotateTokenRequest;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, to_f64},
    plugins::register_many,
    server::{Plugd, Plugins},
};

/// Changes that are made at the same time, each of another plugin.
const IN_FLIGHT: usize = 256;

const ROUND: Duration = Duration::from_millis(1500);

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start();
    let client = plugd.client().await;
    let ids: Vec<String> = register_many(&client, IN_FLIGHT).await.into_iter().map(|plugin| plugin.id).collect();
    let bare = Bare::with_rows_of(&plugd).await;
    let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let changes = stream::iter(&ids).map(|id| change(client.clone(), id, began));
        let count: usize = changes.buffer_unordered(IN_FLIGHT).fold(0, async |sum, count| sum + count).await;
        of_plugd.add(vec![to_f64(count) / began.elapsed().as_secs_f64()]);
        of_bare.add(vec![bare.rate().await]);
    }
    let what = (format!("desired changes, {IN_FLIGHT} clients"), "/s");
    report.median(what, &of_plugd, Some(("raw group commit", &of_bare)), Goal::Rate(0.5));
}

/// Changes a plugin again and again: how often.
async fn change(mut client: Plugins, id: &str, began: Instant) -> usize {
    let mut count = 0;
    while began.elapsed() < ROUND {
        let request = RotateTokenRequest { plugin_id: id.to_owned(), if_generation: None };
        client.rotate_token(request).await.unwrap();
        count += 1;
    }
    count
}

/// A database that does nothing else.
struct Bare {
    db: DatabaseConnection,
    record: String,
    _folder: TempDir,
}

impl Bare {
    /// Its rows are as long as those of plugd's journal, and its file is on the same disk.
    async fn with_rows_of(plugd: &Plugd) -> Self {
        let url = format!("sqlite://{}?mode=ro", plugd.data().join("plugd.db").display());
        let of_plugd = Database::connect(url).await.unwrap();
        let longest = Statement::from_string(DbBackend::Sqlite, "SELECT max(length(record)) AS length FROM journal");
        let length: i64 = of_plugd.query_one_raw(longest).await.unwrap().unwrap().try_get("", "length").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", folder.path().join("bare.db").display()));
        options.max_connections(1);
        let db = Database::connect(options).await.unwrap();
        let make = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE journal (revision INTEGER PRIMARY KEY, record TEXT NOT NULL)";
        db.execute_unprepared(make).await.unwrap();
        Self { db, record: "x".repeat(length.try_into().unwrap()), _folder: folder }
    }

    /// Rows a second.
    async fn rate(&self) -> f64 {
        let group = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {IN_FLIGHT})
             INSERT INTO journal (record) SELECT ?1 FROM n"
        );
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < ROUND {
            let values = [self.record.clone().into()];
            self.db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, &group, values)).await.unwrap();
            count += IN_FLIGHT;
        }
        to_f64(count) / began.elapsed().as_secs_f64()
    }
}
