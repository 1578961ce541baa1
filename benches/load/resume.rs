//! A watcher that comes back, against a read of what it missed from the journal itself.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use plugd::api::v1::{RotateTokenRequest, WatchStateRequest, watch_state_request::Start, watch_state_response::Frame};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    plugins::register_many,
    server::{Plugd, Plugins},
    watch::events,
};

/// How far it is behind: what plugd keeps, or as much as is written in this time.
const BEHIND: usize = 100_000;
const TIME: Duration = Duration::from_secs(20);

/// Changes that are made at the same time, each of another plugin.
const IN_FLIGHT: usize = 256;

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start_with(&["--journal-keep", "200000"]);
    let mut client = plugd.client().await;
    let plugins = register_many(&client, IN_FLIGHT).await;
    let cursor = cursor(client.clone()).await;
    let began = Instant::now();
    let ids = plugins.into_iter().map(|plugin| plugin.id);
    let changes = stream::iter(ids).map(|id| change(client.clone(), id, began));
    let behind: usize = changes.buffer_unordered(IN_FLIGHT).fold(0, async |sum, count| sum + count).await;
    let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let start = Some(Start::Cursor(cursor.clone()));
        let request = WatchStateRequest { start, ..WatchStateRequest::default() };
        let mut frames = client.watch_state(request).await.unwrap().into_inner();
        let mut seen = 0;
        while seen < behind {
            seen += events(&mut frames).await.unwrap().len();
        }
        of_plugd.add(vec![ms(began.elapsed())]);
        of_bare.add(vec![ms(read_journal(&plugd).await)]);
    }
    let what = (format!("resume of a watcher {behind} revisions behind"), "ms");
    report.median(what, &of_plugd, Some(("reading the journal", &of_bare)), Goal::Times(2.0));
}

/// Changes a plugin again and again: how often.
async fn change(mut client: Plugins, plugin_id: String, began: Instant) -> usize {
    let mut count = 0;
    while count < BEHIND / IN_FLIGHT && began.elapsed() < TIME {
        let request = RotateTokenRequest { plugin_id: plugin_id.clone(), if_generation: None };
        client.rotate_token(request).await.unwrap();
        count += 1;
    }
    count
}

/// Where the journal is now.
async fn cursor(mut client: Plugins) -> String {
    let mut frames = client.watch_state(WatchStateRequest::default()).await.unwrap().into_inner();
    loop {
        let frame = frames.message().await.unwrap().unwrap();
        if let (Some(cursor), Some(Frame::SnapshotEnd(_))) = (frame.cursor, frame.frame) {
            return cursor;
        }
    }
}

async fn read_journal(plugd: &Plugd) -> Duration {
    let url = format!("sqlite://{}?mode=ro", plugd.data().join("plugd.db").display());
    let database = Database::connect(url).await.unwrap();
    let began = Instant::now();
    let read = Statement::from_string(DbBackend::Sqlite, "SELECT * FROM journal ORDER BY revision");
    assert!(!database.query_all_raw(read).await.unwrap().is_empty());
    began.elapsed()
}
