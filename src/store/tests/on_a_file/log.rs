//! SQLite's log and its index, deleted or replaced while plugd runs. SQLite itself would go on with what nobody can open.

use std::fs;

use super::{crash::as_if_killed, *};
use crate::domain::Reason;

fn companion(folder: &TempDir, suffix: &str) -> PathBuf {
    folder.path().join(format!("plugd.db{suffix}"))
}

/// Everything that was told of is found by a plugd that is started after this one was killed.
async fn assert_kept(fixture: &Fixture, folder: &TempDir) {
    let copy = Fixture::at(as_if_killed(folder), 1_000_000).await;
    assert_eq!(journal(&copy.store, 0).await, fixture.commits());
}

async fn what_was_answered_is_kept_without(deleted: &[&str]) {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for suffix in deleted {
        fs::remove_file(companion(&folder, suffix)).unwrap();
    }
    let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::StoreUnavailable);
    fixture.healthy(true).await;
    fixture.store.install(mk_plugin(3)).await.unwrap();
    assert_kept(&fixture, &folder).await;
    assert_eq!(journal(&fixture.store, 0).await, fixture.commits(), "readers see it too");
}

#[tokio::test]
async fn a_deleted_log_is_noticed_before_anything_is_answered_and_loses_nothing() {
    what_was_answered_is_kept_without(&["-wal"]).await;
}

#[tokio::test]
async fn a_deleted_index_of_the_log_is_noticed_and_loses_nothing() {
    what_was_answered_is_kept_without(&["-shm"]).await;
}

#[tokio::test]
async fn a_log_deleted_with_its_index_loses_nothing() {
    what_was_answered_is_kept_without(&["-wal", "-shm"]).await;
}

#[tokio::test]
async fn a_deleted_log_is_noticed_while_nothing_is_written() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let mut health = fixture.store.healthy();
    fs::remove_file(companion(&folder, "-wal")).unwrap();
    tokio::time::timeout(PATIENCE, health.changed()).await.expect("it is noticed").unwrap();
    fixture.healthy(true).await;
    assert_kept(&fixture, &folder).await;
}

#[tokio::test]
async fn somebody_elses_log_is_not_taken_for_the_databases() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let log = companion(&folder, "-wal");
    fs::remove_file(&log).unwrap();
    fs::write(&log, "somebody else's").unwrap();
    fixture.healthy(false).await;
    let location = &fixture.store.location;
    assert!(matches!(location.has_lost_log().await, Err(StoreError::Foreign(path)) if path == log));
    let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
    assert!(refused.message.contains("deleted or replaced"), "{refused}");
    fs::remove_file(&log).unwrap();
    fixture.healthy(true).await;
    assert_kept(&fixture, &folder).await;
}

#[tokio::test]
async fn a_folder_that_was_moved_away_and_comes_back_loses_nothing() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let aside = folder.path().with_extension("aside");
    fs::rename(folder.path(), &aside).unwrap();
    let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
    assert!(refused.message.contains("deleted or replaced"), "{refused}");
    fs::rename(&aside, folder.path()).unwrap();
    fixture.healthy(true).await;
    fixture.store.install(mk_plugin(3)).await.unwrap();
    assert_kept(&fixture, &folder).await;
}
