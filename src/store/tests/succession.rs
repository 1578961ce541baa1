use sea_orm::{EntityTrait, sea_query::Expr};

use super::*;

/// What a successor that takes no notice of locks would write.
async fn succeed(place: &Place) -> DatabaseConnection {
    let db = place.connection().await;
    let owner = entity::store::Column::Owner;
    let update = entity::store::Entity::update_many().col_expr(owner, Expr::val("somebody else"));
    assert_eq!(update.exec(&db).await.unwrap().rows_affected, 1);
    db
}

#[tokio::test]
async fn a_store_that_was_taken_over_ends() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let db = succeed(&fixture.place).await;
    assert_eq!(fixture.store.create_token(mk_token(1)).await.unwrap_err(), unavailable());
    let mut health = fixture.store.healthy();
    let ended = async { while health.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert!(!*health.borrow());
    fixture.store.report(mk_id(1), mk_report(State::Error, 1));
    assert_eq!(fixture.store.flush().await.unwrap_err(), unavailable());
    assert_eq!(fixture.store.install(mk_plugin(2)).await.unwrap_err(), unavailable());
    assert_eq!(commit::standing(&db).await.unwrap().0, 1);
    assert_eq!(fixture.commits().len(), 1);
}

#[tokio::test]
async fn each_start_is_an_owner_of_its_own() {
    let fixture = Fixture::new().await;
    let db = fixture.place.connection().await;
    let owner = async || entity::store::Entity::find().one(&db).await.unwrap().unwrap().owner;
    let first = owner().await;
    let fixture = fixture.reopened(10).await;
    assert_ne!(owner().await, first);
    drop(fixture);
}
