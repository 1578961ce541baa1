use std::{collections::BTreeMap, fs};

use futures_util::TryStreamExt;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{audit::mk_event, *};
use crate::domain::hook::tests::mk_hook;
use crate::store::transfer::{Blank, Hold, Snapshot, Standing, Table};

type Lines = BTreeMap<Table, Vec<String>>;

async fn read(place: &Place) -> (Standing, String, Lines) {
    let snapshot = Snapshot::of(&place.address()).await.unwrap();
    let mut lines = Lines::new();
    for table in Table::ALL {
        lines.insert(table, snapshot.rows(table).try_collect().await.unwrap());
    }
    let (standing, id) = (snapshot.standing.clone(), snapshot.database_id.clone());
    snapshot.close().await.unwrap();
    (standing, id, lines)
}

async fn fill(place: &Place, standing: &Standing, lines: &Lines) {
    let mut blank = Blank::open(place.address(), standing).await.unwrap();
    for (table, lines) in lines {
        for line in lines {
            blank.add(*table, line.clone()).await.unwrap();
        }
    }
    blank.finish().await.unwrap();
}

/// A store with rows in every table.
async fn mk_store(place: Place) -> Fixture {
    let fixture = Fixture::at(place, 1000).await;
    for number in 1..=3 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    for revision in 4..110 {
        let mut desired = mk_plugin(1).desired;
        desired.configuration_revision = revision;
        desired.configuration = mk_configuration(&format!("Grüße\u{0} {revision}"));
        fixture.store.desire(mk_id(1), desired, "somebody").await.unwrap();
    }
    fixture.store.remove(mk_id(2)).await.unwrap();
    fixture.store.remove(mk_id(3)).await.unwrap();
    fixture.store.install(mk_plugin(4)).await.unwrap();
    fixture.store.create_token(mk_token(1)).await.unwrap();
    fixture.store.create_hook(mk_hook(1)).await.unwrap();
    fixture.store.audit(mk_event(1));
    fixture.store.flush().await.unwrap();
    fixture
}

#[tokio::test]
async fn records_go_from_either_kind_to_the_other_and_back_as_they_are() {
    let (file, server, another) = (Place::file(), Place::server().await, Place::file());
    let fixture = mk_store(file.clone()).await;
    let (commits, epoch) = (journal(&fixture.store, 0).await, fixture.loaded.epoch.clone());
    fixture.store.close().await.unwrap();
    let (standing, id, lines) = read(&file).await;
    for table in Table::ALL {
        assert!(!lines[&table].is_empty() || table == Table::UnusedManifest, "{table:?}");
    }
    fill(&server, &standing, &lines).await;
    let on_the_server = read(&server).await;
    assert_eq!((&on_the_server.0, &on_the_server.2), (&standing, &lines));
    fill(&another, &on_the_server.0, &on_the_server.2).await;
    let back = read(&another).await;
    assert_eq!((&back.0, &back.2), (&standing, &lines));
    assert!(id != back.1 && id != on_the_server.1 && back.1 != on_the_server.1, "each is a database of its own");

    for place in [server, another] {
        let fixture = Fixture::at(place, 1000).await;
        assert_ne!(fixture.loaded.epoch, epoch, "an old cursor means nothing");
        assert_eq!(journal(&fixture.store, 0).await, commits);
        assert_eq!(fixture.loaded.tokens.len(), 1);
        assert_eq!(fixture.loaded.hooks, [mk_hook(1)]);
        let next = fixture.store.install(mk_plugin(9)).await.unwrap();
        assert_eq!(next.revision, standing.revision + 1);
    }
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_and_keeps_nobody_from_writing() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let snapshot = Snapshot::of(&fixture.place.address()).await.unwrap();
    fixture.store.install(mk_plugin(2)).await.unwrap();
    fixture.store.remove(mk_id(1)).await.unwrap();
    let plugins: Vec<String> = snapshot.rows(Table::Plugin).try_collect().await.unwrap();
    let journal: Vec<String> = snapshot.rows(Table::Journal).try_collect().await.unwrap();
    assert_eq!((snapshot.standing.revision, plugins.len(), journal.len()), (1, 1, 1));
    assert!(plugins[0].contains(&mk_id(1).to_string()));
    assert_eq!(snapshot.packages().await.unwrap(), [Digest([1; 32]), Digest([2; 32])].into());
    snapshot.close().await.unwrap();
    fixture.store.install(mk_plugin(3)).await.unwrap();
    fixture.store.close().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_leaves_the_log_of_a_plugd_that_was_killed() {
    let fixture = Fixture::at(Place::file(), 10).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let Place::File(folder) = &fixture.place else { panic!("it is a file") };
    let killed = tempfile::tempdir().unwrap();
    for name in ["plugd.db", "plugd.db-wal"] {
        fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
    }
    let place = Place::File(killed.into());
    assert_eq!(read(&place).await.2[&Table::Plugin].len(), 1);
    let after = Fixture::at(place, 10).await;
    assert_eq!((&after.loaded.epoch, after.loaded.head), (&fixture.loaded.epoch, 1), "nothing is taken for lost");
}

#[tokio::test]
async fn a_database_with_records_is_not_filled_and_one_in_use_neither() {
    let fixture = Fixture::new().await;
    let place = fixture.place.clone();
    let (standing, ..) = read(&place).await;
    let refused = |found: Result<Blank, StoreError>| found.err().unwrap();
    let in_use = refused(Blank::open(place.address(), &standing).await);
    assert!(matches!(in_use, StoreError::Locked(_) | StoreError::Taken), "{in_use:?}");
    let in_use = Hold::on(&place.address()).await.err().unwrap();
    assert!(matches!(in_use, StoreError::Locked(_) | StoreError::Taken), "{in_use:?}");
    fixture.store.close().await.unwrap();
    assert!(matches!(refused(Blank::open(place.address(), &standing).await), StoreError::NotBlank));
    let hold = Hold::on(&place.address()).await.unwrap();
    assert!(matches!(
        refused(Blank::open(place.address(), &standing).await),
        StoreError::Locked(_) | StoreError::Taken
    ));
    hold.release().await.unwrap();
    let fixture = Fixture::at(place, 10).await;
    assert_eq!(fixture.loaded.head, 0);
}

#[tokio::test]
async fn records_of_another_version_are_refused_before_anything_is_made() {
    let place = Place::file();
    let schema = vec!["m9999_later".to_owned()];
    let error = Blank::open(place.address(), &Standing { revision: 1, compacted: 0, schema }).await.err().unwrap();
    assert!(matches!(error, StoreError::OtherSchema { .. }), "{error}");
    assert!(!place.address().path().unwrap().exists());
}

#[tokio::test]
async fn what_was_not_finished_leaves_nothing() {
    let (from, to) = (mk_store(Place::new().await).await, Place::new().await);
    let (standing, _, lines) = read(&from.place).await;
    let mut blank = Blank::open(to.address(), &standing).await.unwrap();
    for line in &lines[&Table::Journal] {
        blank.add(Table::Journal, line.clone()).await.unwrap();
    }
    let wrong = blank.add(Table::Plugin, "{}".to_owned()).await;
    wrong.unwrap();
    assert!(matches!(blank.finish().await, Err(StoreError::Corrupt(_))));
    fill(&to, &standing, &lines).await;
    assert_eq!(read(&to).await.2, lines);
}

#[tokio::test]
async fn a_database_that_no_plugd_has_used_has_nothing_to_be_read() {
    let place = Place::file();
    fs::write(place.address().path().unwrap(), "").unwrap();
    assert!(matches!(Snapshot::of(&place.address()).await, Err(StoreError::Unused)));
}

#[tokio::test]
async fn no_table_is_forgotten() {
    let fixture = Fixture::at(Place::file(), 10).await;
    let db = fixture.place.connection().await;
    let question = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
    let found = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, question)).await.unwrap();
    let mut found: Vec<String> = found.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    found.retain(|name| name != "seaql_migrations" && name != "store");
    let mut carried = Table::ALL.map(Table::name);
    carried.sort_unstable();
    assert_eq!(found, carried);
}
