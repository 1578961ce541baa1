//! SQLite's log and its index, deleted or replaced while plugd runs. SQLite itself would go on with what nobody can open.

use std::fs;

use super::*;

fn companion(folder: &TempDir, suffix: &str) -> PathBuf {
    folder.path().join(format!("plugd.db{suffix}"))
}

/// It is noticed before anything more is answered. A plugd that is started after this one has ended finds all that was told
/// of, and whatever else was written before that was noticed.
async fn nothing_is_lost_without(deleted: &[&str]) {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for suffix in deleted {
        fs::remove_file(companion(&folder, suffix)).unwrap();
    }
    for number in [2, 3] {
        let refused = fixture.store.install(mk_plugin(number)).await.unwrap_err();
        assert!(refused.message.contains("deleted or replaced"), "{refused}");
    }
    let (commits, place) = (fixture.commits(), fixture.place.clone());
    fixture.store.close().await.unwrap_err();
    let again = Fixture::at(place, 1_000_000).await;
    assert_eq!(journal(&again.store, 0).await[..1], commits);
    again.store.install(mk_plugin(4)).await.unwrap();
}

#[tokio::test]
async fn a_deleted_log_is_noticed_before_anything_is_answered_and_loses_nothing() {
    nothing_is_lost_without(&["-wal"]).await;
}

#[tokio::test]
async fn a_deleted_index_of_the_log_is_noticed_and_loses_nothing() {
    nothing_is_lost_without(&["-shm"]).await;
}

#[tokio::test]
async fn a_log_deleted_with_its_index_loses_nothing() {
    nothing_is_lost_without(&["-wal", "-shm"]).await;
}

#[tokio::test]
async fn a_deleted_log_is_noticed_while_nothing_is_written() {
    let (fixture, folder) = mk_fixture().await;
    fs::remove_file(companion(&folder, "-wal")).unwrap();
    fixture.healthy(false).await;
}

#[tokio::test]
async fn somebody_elses_log_is_not_taken_for_the_databases() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let (log, aside) = (companion(&folder, "-wal"), companion(&folder, "-wal.aside"));
    fs::rename(&log, &aside).unwrap();
    fs::write(&log, "somebody else's").unwrap();
    let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
    assert!(refused.message.contains("deleted or replaced"), "{refused}");
    fs::rename(&aside, &log).unwrap();
    fixture.healthy(true).await;
    fixture.store.install(mk_plugin(3)).await.unwrap();
    assert_eq!(journal(&fixture.store, 0).await, fixture.commits());
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
    assert_eq!(journal(&fixture.store, 0).await, fixture.commits());
}

/// Long before SQLite would do it within a commit.
#[tokio::test]
async fn a_long_log_is_taken_into_the_database_beside_the_writer() {
    let (fixture, folder) = mk_fixture().await;
    let length = || std::fs::metadata(database(folder.path())).unwrap().len();
    let before = length();
    let installed = (0..512).map(|number| fixture.store.install(mk_plugin(number)));
    futures_util::future::try_join_all(installed).await.unwrap();
    let taken = async {
        while length() == before {
            // Nothing is written meanwhile.
            fixture.store.journal_after(0, 1).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("the log is taken into the database");
}
