use sea_orm::{
    DatabaseConnection, DatabaseTransaction, EntityTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sea_query::Expr,
};
use tokio::time::Instant;

use super::*;

/// Somebody who holds the lock that every transaction of the writer needs.
async fn intruder(fixture: &Fixture) -> (DatabaseConnection, DatabaseTransaction) {
    let db = fixture.place.connection().await;
    let mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
    let lock = db.begin_with_options(options).await.unwrap();
    set_head(&lock, Expr::col(entity::store::Column::Head)).await;
    (db, lock)
}

async fn set_head(lock: &DatabaseTransaction, head: Expr) {
    entity::store::Entity::update_many().col_expr(entity::store::Column::Head, head).exec(lock).await.unwrap();
}

async fn installed(count: u32) -> Fixture {
    let fixture = Fixture::new().await;
    for number in 1..=count {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    fixture
}

/// Everything that changes something is refused.
async fn refusals(store: &Store) {
    let desired = Desired { generation: 9, ..mk_plugin(1).desired };
    assert_eq!(store.desire(mk_id(1), desired, "").await.unwrap_err(), unavailable());
    assert_eq!(store.remove(mk_id(1)).await.unwrap_err(), unavailable());
    assert_eq!(store.revoke_token(TokenId::from_bytes([0; 12])).await.unwrap_err(), unavailable());
}

#[tokio::test]
async fn without_the_database_callers_are_told_soon_and_then_at_once() {
    let fixture = installed(1).await;
    let (_db, lock) = intruder(&fixture).await;
    let start = Instant::now();
    assert_eq!(fixture.store.install(mk_plugin(2)).await.unwrap_err(), unavailable());
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!*fixture.store.healthy().borrow());
    // Long enough for the writer to be in the middle of its next try.
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..10 {
        ticks.tick().await;
        let refused = tokio::time::timeout(Duration::from_millis(500), refusals(&fixture.store));
        refused.await.expect("nothing waits for the next try");
    }
    lock.rollback().await.unwrap();
    fixture.healthy(true).await;
    assert_eq!(fixture.store.install(mk_plugin(2)).await.unwrap().revision, 2);
}

#[tokio::test]
async fn reports_wait_for_the_database_the_newest_of_each_plugin() {
    let mut fixture = installed(3).await;
    let (_db, lock) = intruder(&fixture).await;
    for number in [3, 1] {
        fixture.store.report(mk_id(number), mk_report(State::Starting, 1));
    }
    fixture.healthy(false).await;
    for (number, generation) in [(2, 1), (1, 2), (1, 3), (7, 1)] {
        fixture.store.report(mk_id(number), mk_report(State::Active, generation));
    }
    let store = fixture.store.clone();
    let flushed = tokio::spawn(async move { store.flush().await });
    lock.rollback().await.unwrap();
    flushed.await.unwrap().unwrap();
    let commits = fixture.told(6).await;
    assert_eq!(revisions(&commits), [1, 2, 3, 4, 5, 6]);
    let seen: Vec<_> = commits[3..].iter().map(|c| (c.plugin.id, c.plugin.reported.observed_generation)).collect();
    assert_eq!(seen, [(mk_id(3), 1), (mk_id(2), 1), (mk_id(1), 3)]);
    assert_eq!(commits[5].before, Some(State::Inactive));
    assert!(*fixture.store.healthy().borrow());
    assert_eq!(journal(&fixture.store, 0).await, commits);
}

#[tokio::test]
async fn flushing_and_closing_give_up_without_the_database() {
    let fixture = installed(1).await;
    let (_db, _lock) = intruder(&fixture).await;
    fixture.store.report(mk_id(1), mk_report(State::Starting, 1));
    let start = Instant::now();
    assert_eq!(fixture.store.close().await.unwrap_err(), unavailable());
    assert!(start.elapsed() < FLUSH_TIMEOUT + CLOSE_TIMEOUT);
}

#[tokio::test]
async fn closing_gives_up_while_somebody_reads_for_ever() {
    let fixture = installed(1).await;
    let _reading = fixture.store.reader.0.begin().await.unwrap();
    let closed = timeout(FLUSH_TIMEOUT + 2 * CLOSE_TIMEOUT, fixture.store.close()).await;
    assert_eq!(closed.expect("it has a deadline").unwrap_err(), unavailable());
}

#[tokio::test]
async fn a_history_that_somebody_else_has_written_is_never_forked() {
    let fixture = installed(1).await;
    let (db, lock) = intruder(&fixture).await;
    set_head(&lock, Expr::val(17)).await;
    lock.commit().await.unwrap();
    assert_eq!(fixture.store.install(mk_plugin(2)).await.unwrap_err(), unavailable());
    fixture.store.report(mk_id(1), mk_report(State::Starting, 1));
    assert_eq!(fixture.store.flush().await.unwrap_err(), unavailable());
    assert_eq!(commit::standing(&db).await.unwrap().0, 17);
    assert_eq!(fixture.commits().len(), 1);
}
