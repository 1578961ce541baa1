use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use sea_orm_migration::seaql_migrations;

use super::*;

pub(super) async fn refusal(url: String) -> StoreError {
    let opened = async { open(Options { address: Address::parse(&url)?, journal_keep: 10, audit_keep: 10 }).await };
    opened.await.err().expect("it is refused")
}

#[tokio::test]
async fn a_second_plugd_is_refused_until_the_first_is_gone() {
    let fixture = Fixture::new().await;
    let error = refusal(fixture.place.url()).await;
    assert!(matches!(error, StoreError::Locked(_) | StoreError::Taken));
    assert!(error.to_string().starts_with("another plugd uses this data"), "{error}");
    fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.reopened(10).await;
}

#[tokio::test]
async fn a_database_of_a_newer_plugd_is_refused_and_left_alone() {
    let fixture = Fixture::new().await;
    let place = fixture.place.clone();
    fixture.store.close().await.unwrap();
    let db = place.connection().await;
    let row = seaql_migrations::ActiveModel { version: Set("m9999_later".to_owned()), applied_at: Set(0) };
    seaql_migrations::Entity::insert(row).exec_without_returning(&db).await.unwrap();
    let before = entity::store::Entity::find().all(&db).await.unwrap();
    let error = refusal(place.url()).await;
    assert!(matches!(&error, StoreError::Newer(migrations) if migrations == &["m9999_later"]), "{error}");
    assert_eq!(entity::store::Entity::find().all(&db).await.unwrap(), before);
    assert_eq!(seaql_migrations::Entity::find().all(&db).await.unwrap().len(), 2);
}

/// Nothing of it is lost: its row stays as it is, whatever happens to the others.
#[tokio::test]
async fn a_record_that_can_not_be_read_is_left_out_and_kept() {
    let fixture = Fixture::new().await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    assert!(fixture.store.is_whole());
    let place = fixture.place.clone();
    fixture.store.close().await.unwrap();
    let db = place.connection().await;
    let spoil = entity::plugin::Entity::update_many().col_expr(entity::plugin::Column::State, Expr::val("spoilt"));
    spoil.filter(entity::plugin::Column::Id.eq(mk_id(1))).exec(&db).await.unwrap();
    db.close().await.unwrap();

    let fixture = Fixture::at(place, 1_000_000).await;

    assert_eq!(fixture.loaded.unreadable, [mk_id(1).to_string()]);
    assert_eq!(fixture.loaded.plugins.iter().map(|plugin| plugin.id).collect::<Vec<_>>(), [mk_id(2)]);
    assert!(!fixture.store.is_whole());
    fixture.store.remove(mk_id(2)).await.unwrap();
    let again = fixture.reopened(1_000_000).await;
    assert_eq!((again.loaded.unreadable.len(), again.loaded.plugins.len()), (1, 0));
}
