//! What an operator asks in SQL, as README says.

use sea_orm::{ConnectionTrait, QueryResult, Statement};

use super::*;

async fn ask(fixture: &Fixture, sql: &str) -> Vec<QueryResult> {
    let db = fixture.place.connection().await;
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap()
}

fn text(row: &QueryResult, column: &str) -> String {
    row.try_get("", column).unwrap()
}

#[tokio::test]
async fn an_operator_finds_what_failed_and_since_when() {
    let fixture = Fixture::new().await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    fixture.store.report(mk_id(2), mk_report(State::Error, 5));
    fixture.store.flush().await.unwrap();

    let rows = ask(&fixture, "select name, version, state, since from plugin where state = 'error'").await;

    assert_eq!(rows.len(), 1);
    assert_eq!(["name", "version", "state"].map(|column| text(&rows[0], column)), ["A plugin", "1.0.0", "error"]);
    let since: sea_orm::prelude::DateTimeUtc = rows[0].try_get("", "since").unwrap();
    assert_eq!(rows::from_column(since).unwrap(), fixture.commits()[2].plugin.reported.since);
}

#[tokio::test]
async fn an_operator_finds_what_runs_on_a_host() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.report(mk_id(1), mk_report(State::Active, 5));
    fixture.store.flush().await.unwrap();
    let on = |host: &str| {
        format!("select name, run_name, host from plugin where provider = 'kubernetes' and host = '{host}'")
    };
    let rows = ask(&fixture, &on("a-host")).await;
    assert_eq!(
        ["name", "run_name", "host"].map(|column| text(&rows[0], column)),
        ["A plugin", "plugd/a-pod", "a-host"]
    );
    assert!(ask(&fixture, &on("another")).await.is_empty());
}

#[tokio::test]
async fn an_operator_finds_why_it_failed_and_what_is_old() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let json = |column: &str| match fixture.place {
        Place::File(_) => column.to_owned(),
        Place::Server(_) => format!("{column}::json"),
    };
    let (failure, body) = (json("failure"), json("body"));
    let sql = format!(
        "select {failure}->>'message' as message, {failure}->>'stage' as stage, mode, active from plugin \
         where not degraded or since > '2026-01-01' and generation = observed_generation + 4 order by since"
    );
    let rows = ask(&fixture, &sql).await;
    let found = ["message", "stage", "mode", "active"].map(|column| text(&rows[0], column));
    assert_eq!(found, ["exit status 42", "exit", "external", "active"]);
    let sql = format!("select {body}->>'greeting' as greeting, author from configuration order by created");
    let rows = ask(&fixture, &sql).await;
    assert_eq!(text(&rows[0], "greeting"), "hello");
}

#[tokio::test]
async fn an_operator_finds_who_was_refused() {
    let fixture = Fixture::new().await;
    fixture.store.audit(super::audit::mk_event(1));
    fixture.store.audit(super::audit::refused(super::audit::mk_event(2)));
    fixture.store.flush().await.unwrap();
    let sql = "select time, token_name, address, method from audit_event where code = 'PERMISSION_DENIED'";
    let rows = ask(&fixture, sql).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(text(&rows[0], "address"), "2001:db8::7");
    assert_eq!(text(&rows[0], "method"), "plugd.v1.PluginService/Method2");
}

#[tokio::test]
async fn the_same_request_installs_one_plugin() {
    let fixture = Fixture::new().await;
    let (first, other) = (mk_plugin(1), Plugin { request: mk_plugin(1).request, ..mk_plugin(2) });
    let (first, second) = tokio::join!(fixture.store.install(first), fixture.store.install(other.clone()));
    assert_eq!(first.as_ref().unwrap(), second.as_ref().unwrap());
    let fixture = fixture.reopened(1_000_000).await;
    assert_eq!(fixture.store.install(other.clone()).await.unwrap().id, mk_id(1), "also after a restart");
    fixture.store.remove(mk_id(1)).await.unwrap();
    assert_eq!(fixture.store.install(other).await.unwrap().id, mk_id(2), "nothing is left of the first");
}

#[tokio::test]
async fn a_request_is_known_though_the_plugin_that_it_installed_before_went_in_the_same_transaction() {
    let fixture = Fixture::new().await;
    let request = mk_plugin(1).request;
    let mk = |number| Plugin { request: request.clone(), ..mk_plugin(number) };
    fixture.store.install(mk(1)).await.unwrap();
    for number in 1..30 {
        let change = tokio::join!(fixture.store.remove(mk_id(number)), fixture.store.install(mk(number + 1)));
        assert_eq!((change.0.unwrap().id, change.1.unwrap().id), (mk_id(number), mk_id(number + 1)));
        assert_eq!(fixture.store.install(mk(100)).await.unwrap().id, mk_id(number + 1), "a retry");
    }
}
