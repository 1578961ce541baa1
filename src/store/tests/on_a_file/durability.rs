//! A host that goes down: what a commit survives, and whether the history goes on.

use sea_orm::{EntityTrait, sea_query::Expr};

use super::{crash::as_if_killed, *};
use crate::store::batch::Batch;

/// As if the host had been started since.
async fn reboot(place: &Place) {
    let db = place.connection().await;
    let update = entity::store::Entity::update_many();
    update.col_expr(entity::store::Column::Boot, Expr::val("an earlier one")).exec(&db).await.unwrap();
    db.close().await.unwrap();
}

/// The epoch of a plugd that was killed, and where its database is now.
async fn killed() -> (String, Place) {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    (fixture.loaded.epoch.clone(), as_if_killed(&folder))
}

#[tokio::test]
async fn a_history_goes_on_when_plugd_was_killed() {
    let (epoch, place) = killed().await;
    assert_eq!(Fixture::at(place, 10).await.loaded.epoch, epoch);
}

#[tokio::test]
async fn another_history_begins_once_when_the_host_went_down_with_plugd() {
    let (epoch, place) = killed().await;
    reboot(&place).await;
    let Place::File(folder) = place.clone() else { panic!("a file") };
    let fixture = Fixture::at(place, 10).await;
    assert_ne!(fixture.loaded.epoch, epoch);
    assert_eq!(fixture.loaded.plugins.len(), 1, "with the same plugins");
    let again = Fixture::at(as_if_killed(&folder), 10).await;
    assert_eq!(again.loaded.epoch, fixture.loaded.epoch);
}

#[tokio::test]
async fn a_history_goes_on_on_a_host_that_was_started_after_plugd_had_closed_it() {
    let (fixture, _folder) = mk_fixture().await;
    let (epoch, place) = (fixture.loaded.epoch.clone(), fixture.place.clone());
    fixture.store.close().await.unwrap();
    reboot(&place).await;
    assert_eq!(Fixture::at(place, 10).await.loaded.epoch, epoch);
}

#[tokio::test]
async fn a_history_goes_on_after_a_start_that_found_something_unreadable() {
    let (fixture, _folder) = mk_fixture().await;
    let (epoch, place) = (fixture.loaded.epoch.clone(), fixture.place.clone());
    let token = mk_token(1);
    fixture.store.create_token(token.clone()).await.unwrap();
    fixture.store.close().await.unwrap();
    let set_hash = async |hash: Vec<u8>| {
        let db = place.connection().await;
        let update = entity::access_token::Entity::update_many();
        update.col_expr(entity::access_token::Column::Hash, Expr::val(hash)).exec(&db).await.unwrap();
        db.close().await.unwrap();
    };
    set_hash(vec![1]).await;
    assert!(matches!(open(place.options(10)).await, Err(StoreError::Corrupt(_))));
    set_hash(token.hash.to_vec()).await;
    assert_eq!(Fixture::at(place, 10).await.loaded.epoch, epoch);
}

/// The log holds what came last.
#[tokio::test]
async fn another_history_begins_when_the_log_was_taken_away_while_plugd_was_dead() {
    for take in [|log: PathBuf| std::fs::remove_file(log), |log| std::fs::write(log, "")] {
        let (epoch, place) = killed().await;
        let Place::File(folder) = place.clone() else { panic!("a file") };
        take(folder.path().join("plugd.db-wal")).unwrap();
        let fixture = Fixture::at(place, 10).await;
        assert_ne!(fixture.loaded.epoch, epoch);
        assert_eq!(fixture.loaded.plugins, [], "the change was in the log");
    }
}

#[tokio::test]
async fn a_commit_is_synced_if_it_holds_anything_that_is_desired() {
    let place = Place::file();
    let (opened, _) = open(place.options(10)).await.unwrap();
    let mut start = opened.start;
    let (desired, reported) = (mk_plugin(1).desired, Box::new(mk_report(State::Active, 1)));
    let report = || What::Report { id: mk_id(1), reported: reported.clone() };
    let changed = Desired { generation: 9, ..desired };
    let desire = What::Desire { id: mk_id(1), desired: Box::new(changed), author: String::new() };
    let stop = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Inactive, 2)) };
    let location = Arc::clone(start.lease.location());
    for (changes, expected) in [
        (vec![What::Install(Box::new(mk_plugin(1)))], 1),
        (vec![report()], 0),
        (vec![stop, desire], 1),
        (vec![report()], 0),
    ] {
        let before = location.syncs().await;
        let mut batch = Batch::new(start.head, Timestamp::now());
        changes.into_iter().for_each(|change| drop(batch.apply(&start.records, change).unwrap()));
        commit::execute(&start.lease, &batch, &[]).await.unwrap();
        assert_eq!(location.syncs().await - before, expected);
        start.head = batch.head();
        batch.take_effect(&mut start.records);
    }
    let before = location.syncs().await;
    crate::store::tokens::create(&start.lease, mk_token(1)).await.unwrap();
    assert_eq!(location.syncs().await - before, 1);
}
