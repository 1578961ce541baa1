//! A host that goes down: what a commit survives, and whether the history goes on.

use futures_util::FutureExt;
use sea_orm::{EntityTrait, sea_query::Expr};

use super::{crash::as_if_killed, *};
use crate::store::{batch::Batch, lease::Durability};

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
async fn a_commit_after_which_files_are_taken_away_is_synced_before_it_takes_effect() {
    let place = Place::file();
    let (opened, _) = open(place.options(10)).await.unwrap();
    let mut start = opened.start;
    let (desired, reported) = (mk_plugin(1).desired, Box::new(mk_report(State::Active, 1)));
    let report = || What::Report { id: mk_id(1), reported: reported.clone() };
    let changed = Desired { generation: 9, ..desired };
    let desire = |desired| What::Desire { id: mk_id(1), desired: Box::new(desired), author: String::new() };
    let updated = Desired { package: Some(Digest([7; 32])), ..changed.clone() };
    let stop = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Inactive, 2)) };
    let location = Arc::clone(start.lease.location());
    let remove = |number| What::Remove { id: mk_id(number) };
    let install = |number| What::Install(Box::new(mk_plugin(number)));
    for (changes, durability, expected) in [
        (vec![install(1)], Durability::Synced, 1),
        (vec![report()], Durability::Written, 0),
        (vec![stop, desire(changed)], Durability::Syncing, 0),
        (vec![desire(updated)], Durability::Synced, 1),
        (vec![install(2), report()], Durability::Synced, 1),
        (vec![report()], Durability::Written, 0),
        (vec![report(), remove(2)], Durability::Synced, 1),
    ] {
        let before = location.syncs().await;
        let mut batch = Batch::new(start.head, Timestamp::now());
        changes.into_iter().for_each(|change| drop(batch.apply(&start.records, change).unwrap()));
        assert_eq!(batch.durability(), durability);
        commit::execute(&start.lease, &batch, &[], durability).await.unwrap();
        assert_eq!(location.syncs().await - before, expected);
        start.head = batch.head();
        batch.take_effect(&mut start.records);
    }
    let before = location.syncs().await;
    crate::store::tokens::create(&start.lease, mk_token(1)).await.unwrap();
    assert_eq!(location.syncs().await - before, 1);
}

/// A store with one plugin, and the next change of what is desired of it.
async fn mk_changed() -> (Fixture, Desired) {
    let fixture = Fixture::at(Place::file(), 10).await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    (fixture, Desired { generation: 9, ..plugin.desired.clone() })
}

#[tokio::test]
async fn what_is_desired_takes_effect_while_it_is_synced_and_is_answered_after_that() {
    let (mut fixture, desired) = mk_changed().await;
    let disk = fixture.store.location.hang().await;
    let changed = fixture.store.desire(mk_id(1), desired, "").await.unwrap();
    assert_eq!(fixture.commits().last().map(|commit| commit.revision), Some(changed.revision));
    // What is reported meanwhile waits for nothing, nor does whoever asks for what was durable before.
    fixture.store.report(mk_id(1), mk_report(State::Active, 9));
    fixture.told(3).await;
    fixture.store.durable(changed.revision - 1).await.unwrap();
    let [this, later] = [changed.revision, changed.revision + 1].map(|revision| fixture.store.durable(revision));
    let (mut this, mut later) = (Box::pin(this), Box::pin(later));
    assert!(this.as_mut().now_or_never().is_none() && later.as_mut().now_or_never().is_none(), "it is not synced");
    assert!(Box::pin(fixture.store.flush()).as_mut().now_or_never().is_none(), "it is not synced");
    drop(disk);
    this.await.unwrap();
    later.await.unwrap();
    fixture.store.flush().await.unwrap();
}

#[tokio::test]
async fn who_waits_for_a_sync_that_fails_is_told_so() {
    let (fixture, desired) = mk_changed().await;
    let disk = fixture.store.location.hang().await;
    let changed = fixture.store.desire(mk_id(1), desired, "").await.unwrap();
    let Place::File(folder) = &fixture.place else { panic!("a file") };
    let database = folder.path().join("plugd.db");
    let moved = folder.path().join("moved");
    std::fs::rename(&database, &moved).unwrap();
    drop(disk);
    assert_eq!(fixture.store.durable(changed.revision).await.unwrap_err().reason, Reason::StoreUnavailable);
    fixture.healthy(false).await;
    std::fs::rename(&moved, &database).unwrap();
    fixture.healthy(true).await;
    fixture.store.durable(changed.revision).await.unwrap();
}
