use std::os::unix::fs::PermissionsExt;

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use sea_orm_migration::seaql_migrations;

use super::*;

async fn refusal(url: String) -> StoreError {
    open(Options { url, journal_keep: 10 }).await.err().expect("it is refused")
}

#[tokio::test]
async fn a_second_plugd_is_refused_until_the_first_is_gone() {
    let fixture = Fixture::new().await;
    let error = refusal(url(fixture.folder.path())).await;
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(error.to_string().starts_with("another plugd uses this data folder"));
    fixture.reopened(10).await;
}

#[tokio::test]
async fn a_database_of_a_newer_plugd_is_refused_and_left_alone() {
    let fixture = Fixture::new().await;
    let folder = Arc::clone(&fixture.folder);
    fixture.store.close().await.unwrap();
    let db = connect::writer(&url(folder.path())).await.unwrap();
    let row = seaql_migrations::ActiveModel { version: Set("m9999_later".to_owned()), applied_at: Set(0) };
    seaql_migrations::Entity::insert(row).exec_without_returning(&db).await.unwrap();
    db.close().await.unwrap();
    let before = std::fs::read(database(folder.path())).unwrap();
    let error = refusal(url(folder.path())).await;
    assert!(matches!(&error, StoreError::Newer { migrations } if migrations == &["m9999_later"]), "{error}");
    assert_eq!(std::fs::read(database(folder.path())).unwrap(), before);
}

/// Nothing of it is lost: its row stays as it is, whatever happens to the others.
#[tokio::test]
async fn a_record_that_can_not_be_read_is_left_out_and_kept() {
    let fixture = Fixture::new().await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    assert!(fixture.store.is_whole());
    let folder = fixture.folder.clone();
    fixture.store.close().await.unwrap();
    let db = connect::writer(&url(folder.path())).await.unwrap();
    let spoil = entity::plugin::Entity::update_many().col_expr(entity::plugin::Column::Record, Expr::val("spoilt"));
    spoil.filter(entity::plugin::Column::Id.eq(mk_id(1).to_string())).exec(&db).await.unwrap();
    db.close().await.unwrap();

    let fixture = Fixture::at(folder.clone(), 1_000_000).await;

    assert_eq!(fixture.loaded.unreadable, [mk_id(1).to_string()]);
    assert_eq!(fixture.loaded.plugins.iter().map(|plugin| plugin.id).collect::<Vec<_>>(), [mk_id(2)]);
    assert!(!fixture.store.is_whole());
    fixture.store.remove(mk_id(2)).await.unwrap();
    let again = fixture.reopened(1_000_000).await;
    assert_eq!((again.loaded.unreadable.len(), again.loaded.plugins.len()), (1, 0));
}

#[tokio::test]
async fn what_is_not_a_file_of_sqlite_is_refused() {
    for address in ["postgres://host/plugd", "sqlite::memory:", "sqlite://", "sqlite://x?mode=memory", "plugd.db"] {
        assert!(matches!(refusal(address.to_owned()).await, StoreError::Url { .. }), "{address}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(url(&folder.path().join("nowhere"))).await, StoreError::File { .. }));
    std::fs::write(database(folder.path()), "this is no database, however long it may be".repeat(99)).unwrap();
    assert!(matches!(refusal(url(folder.path())).await, StoreError::Database(_)));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for file in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}
