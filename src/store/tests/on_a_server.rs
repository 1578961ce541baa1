//! What only a server does: it goes away and comes back, and ends sessions.

mod packages;

use sea_orm::{ConnectionTrait, Statement};

use super::{opening::refusal, *};

mod cluster;
mod nodes;

async fn mk_fixture() -> (Fixture, Arc<OneDatabase>) {
    let place = Place::server().await;
    let Place::Server(database) = place.clone() else { panic!("a server") };
    (Fixture::at(place, 1_000_000).await, database)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_noticed_though_nobody_writes_and_what_was_reported_meanwhile_follows() {
    let (fixture, database) = mk_fixture().await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    database.lock_out().await;
    fixture.healthy(false).await;
    assert_eq!(fixture.store.remove(mk_id(1)).await.unwrap_err(), unavailable());
    assert_eq!(fixture.store.journal_after(0, 1).await.unwrap_err(), unavailable());
    for (number, generation) in [(2, 1), (1, 1), (2, 2)] {
        fixture.store.report(mk_id(number), mk_report(State::Active, generation));
    }
    database.let_in().await;
    fixture.healthy(true).await;
    fixture.store.flush().await.unwrap();
    let commits = fixture.commits();
    let last = |number| commits.iter().rfind(|commit| commit.plugin.id == mk_id(number)).unwrap().plugin.clone();
    assert_eq!([1, 2].map(|number| last(number).reported.observed_generation), [1, 2]);
    assert_eq!(journal(&fixture.store, 0).await, commits);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_end_in_the_middle_leave_no_gap() {
    let (mut fixture, database) = mk_fixture().await;
    fixture.store.install(mk_plugin(0)).await.unwrap();
    for round in 1..=5 {
        for number in 0..500 {
            fixture.store.report(mk_id(0), mk_report(State::Active, round * 1000 + number));
        }
        fixture.told(fixture.commits().len() + 1).await;
        database.end_sessions().await;
        fixture.healthy(true).await;
    }
    fixture.store.report(mk_id(0), mk_report(State::Inactive, 9999));
    let mut told = fixture.told.clone();
    let kept = Arc::clone(&fixture.commits);
    let is_last = |_: &usize| kept.lock().unwrap().last().unwrap().plugin.reported.observed_generation == 9999;
    tokio::time::timeout(PATIENCE, told.wait_for(is_last)).await.expect("the last report is told of").unwrap();
    let commits = fixture.commits();
    assert_eq!(revisions(&commits), (1..=commits.len() as u64).collect::<Vec<_>>());
    assert_eq!(journal(&fixture.store, 0).await, commits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let database = Server::shared().database().await;
    let url = database.url().replace("hunter%402", "wr0ng-secret");
    let error = refusal(url).await;
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("wr0ng-secret"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_cannot_write() {
    let (fixture, _) = mk_fixture().await;
    let db = lease::readers(&fixture.place.address()).await.unwrap();
    let error = db.execute_unprepared("DELETE FROM journal").await.unwrap_err();
    let text = error.to_string().to_lowercase();
    assert!(text.contains("read-only") || text.contains("read only"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_as_durable_as_the_session_can_make_it() {
    let place = Place::server().await;
    let lease = crate::store::lease::Lease::open(place.address()).await.unwrap();
    let ask = "SELECT current_setting('synchronous_commit') AS found";
    let statement = Statement::from_string(lease.db().get_database_backend(), ask);
    let row = lease.db().query_one_raw(statement).await.unwrap().unwrap();
    assert_eq!(row.try_get::<String>("", "found").unwrap(), "on");
}
