//! What only a SQLite file has.

use std::os::unix::fs::PermissionsExt;

use super::{opening::refusal, *};

mod crash;

/// A store in a file, whatever the environment says.
async fn mk_fixture() -> (Fixture, Arc<TempDir>) {
    let place = Place::file();
    let Place::File(folder) = place.clone() else { panic!("a file") };
    (Fixture::at(place, 1_000_000).await, folder)
}

fn url(folder: &Path) -> String {
    format!("sqlite://{}?mode=rwc", database(folder).display())
}

#[tokio::test]
async fn what_is_not_a_file_of_sqlite_is_refused() {
    for address in ["sqlite::memory:", "sqlite://", "sqlite://x?mode=memory", "plugd.db"] {
        assert!(matches!(refusal(address.to_owned()).await, StoreError::Url { .. }), "{address}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(url(&folder.path().join("nowhere"))).await, StoreError::File { .. }));
    std::fs::write(database(folder.path()), "this is no database, however long it may be".repeat(99)).unwrap();
    assert!(matches!(refusal(url(folder.path())).await, StoreError::Database(_)));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

/// SQLite itself would go on with a file that nobody can ever open again.
#[tokio::test]
async fn a_database_that_was_deleted_is_noticed_and_said_and_one_that_is_put_back_goes_on() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let (path, aside) = (database(folder.path()), folder.path().join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
    assert!(refused.message.contains("deleted or replaced"), "{refused}");
    assert!(!*fixture.store.healthy().borrow());
    std::fs::write(&path, "").unwrap();
    let refused = fixture.store.remove(mk_id(1)).await.unwrap_err();
    assert!(refused.message.contains("deleted or replaced"), "another file is not the one: {refused}");
    std::fs::rename(&aside, &path).unwrap();
    fixture.healthy(true).await;
    fixture.store.install(mk_plugin(3)).await.unwrap();
}

#[tokio::test]
async fn a_deleted_database_is_noticed_while_nothing_is_written() {
    let (fixture, folder) = mk_fixture().await;
    std::fs::remove_file(database(folder.path())).unwrap();
    fixture.healthy(false).await;
}
