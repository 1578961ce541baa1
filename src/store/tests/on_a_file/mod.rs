//! What only a SQLite file has.

use std::os::unix::fs::PermissionsExt;

use super::{opening::refusal, *};

mod crash;
mod durability;
mod full;
mod log;

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
        assert!(matches!(refusal(address.to_owned()).await, StoreError::Url(_)), "{address}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(url(&folder.path().join("nowhere"))).await, StoreError::File { .. }));
}

#[tokio::test]
async fn a_database_that_is_none_or_damaged_is_refused_with_what_to_do() {
    let (fixture, folder) = mk_fixture().await;
    let path = database(folder.path());
    fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.close().await.unwrap();
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    damaged[100..sound.len() / 2].fill(7);
    for bytes in [damaged, b"this is no database, however long it may be".repeat(99)] {
        std::fs::write(&path, bytes).unwrap();
        let error = refusal(url(folder.path())).await;
        assert!(matches!(&error, StoreError::Damaged { path: found, .. } if *found == path), "{error:?}");
        assert!(error.to_string().contains("restore a backup"), "{error}");
    }
    std::fs::write(&path, sound).unwrap();
    std::fs::create_dir(folder.path().join("plugd.db-wal")).unwrap();
    let error = refusal(url(folder.path())).await;
    assert!(matches!(&error, StoreError::Unusable { path: found, .. } if *found == path), "{error:?}");
}

/// None of these characters has a meaning in a path, though each has one in a URL or for SQLite.
#[tokio::test]
async fn a_database_is_found_in_any_folder() {
    let home = tempfile::tempdir().unwrap();
    for name in ["%41", "what?mode=memory", "#1", "a b", "\u{fc}\"'\\", ":memory:", "file:x"] {
        let folder = home.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let address = Address::file(&database(&folder)).unwrap();
        let (opened, _) = open(Options { address, journal_keep: 10, audit_keep: 10 }).await.unwrap();
        opened.start(Box::new(|_| {})).close().await.unwrap();
        assert!(database(&folder).metadata().unwrap().len() > 0, "{name}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 7, "and nowhere else");
    use std::os::unix::ffi::OsStrExt;
    let error = Address::file(Path::new(std::ffi::OsStr::from_bytes(b"/\xff/plugd.db"))).unwrap_err();
    assert!(error.to_string().contains("\\xFF/plugd.db"), "{error}");
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

/// Whoever restores a backup over a database that is in use does that.
#[tokio::test]
async fn files_that_are_made_shorter_are_noticed_before_a_change_is_answered() {
    for suffix in ["", "-wal"] {
        let (fixture, folder) = mk_fixture().await;
        fixture.store.install(mk_plugin(1)).await.unwrap();
        let file = folder.path().join(format!("plugd.db{suffix}"));
        let file = std::fs::File::options().append(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let refused = fixture.store.install(mk_plugin(2)).await.unwrap_err();
        assert!(refused.message.contains("made shorter"), "{refused}");
        assert_eq!(fixture.commits().len(), 1);
    }
}
