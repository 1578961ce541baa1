use std::collections::HashSet;

use sea_orm::{DatabaseConnection, EntityTrait, PaginatorTrait};

use super::*;
use crate::{
    domain::Reason,
    store::entity::{document, journal as rows},
};

async fn connection(fixture: &Fixture) -> DatabaseConnection {
    open::readers(&fixture.place.address()).await.unwrap()
}

/// Texts of the stored documents that are configurations of these tests.
pub(super) async fn greetings(db: &DatabaseConnection) -> HashSet<String> {
    let documents = document::Entity::find().all(db).await.unwrap();
    let bodies = documents.iter().map(|row| serde_json::from_str::<Value>(&row.body).unwrap());
    bodies.filter_map(|body| Some(body.get("greeting")?.as_str()?.to_owned())).collect()
}

/// Reports one after the other, so that each is a transaction of its own.
pub(super) async fn report(fixture: &Fixture, number: u32, count: u64) {
    for round in 0..count {
        fixture.store.report(mk_id(number), mk_report(State::Active, round));
        fixture.store.flush().await.unwrap();
    }
}

/// Desires a configuration that does not enter the history.
async fn desire(fixture: &Fixture, number: u32, text: &str) {
    let plugin = mk_plugin(number);
    let desired = Desired { configuration: mk_configuration(text), configuration_revision: 0, ..plugin.desired };
    fixture.store.desire(plugin.id, desired, "somebody").await.unwrap();
}

#[tokio::test]
async fn the_journal_forgets_its_oldest_revisions_and_says_so() {
    let fixture = Fixture::keeping(20).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    report(&fixture, 1, 21).await;
    assert_eq!(fixture.store.compacted(), 0, "the slack is not used up at 22");
    report(&fixture, 1, 1).await;
    assert_eq!(fixture.store.compacted(), 3);
    let error = fixture.store.journal_after(2, 10).await.unwrap_err();
    assert_eq!(error.reason, Reason::RevisionCompacted);
    assert_eq!((&*error.metadata["compact_revision"], &*error.metadata["head_revision"]), ("3", "23"));
    assert_eq!(revisions(&journal(&fixture.store, 3).await), (4..=23).collect::<Vec<_>>());
    assert_eq!(rows::Entity::find().count(&connection(&fixture).await).await.unwrap(), 20);
    let fixture = fixture.reopened(20).await;
    assert_eq!((fixture.loaded.head, fixture.loaded.compacted, fixture.store.compacted()), (23, 3, 3));
}

#[tokio::test]
async fn a_revision_that_does_not_exist_yet_is_refused_and_the_newest_is_not() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.store.journal_after(0, 10).await.unwrap(), []);
    fixture.store.install(mk_plugin(1)).await.unwrap();
    assert_eq!(fixture.store.journal_after(1, 10).await.unwrap(), []);
    assert_eq!(fixture.store.journal_after(2, 10).await.unwrap_err().reason, Reason::RevisionUnknown);
}

#[tokio::test]
async fn documents_are_stored_once_however_many_revisions_use_them() {
    let fixture = Fixture::new().await;
    for number in 0..3 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
        report(&fixture, number, 5).await;
    }
    assert_eq!(document::Entity::find().count(&connection(&fixture).await).await.unwrap(), 2);
    let commits = journal(&fixture.store, 0).await;
    assert!(commits.iter().all(|commit| commit.plugin.desired.configuration == mk_configuration("hello")));
}

#[tokio::test]
async fn documents_go_when_nothing_needs_them_any_more() {
    let fixture = Fixture::keeping(10).await;
    let db = connection(&fixture).await;
    for number in [1, 2] {
        let plugin = mk_plugin(number);
        let desired = Desired { configuration_revision: 0, ..plugin.desired };
        fixture.store.install(Plugin { desired, ..plugin }).await.unwrap();
    }
    desire(&fixture, 1, "passing").await;
    desire(&fixture, 1, "lasting").await;
    assert_eq!(greetings(&db).await, ["hello", "passing", "lasting"].map(str::to_owned).into());
    report(&fixture, 1, 12).await;
    assert!(fixture.store.compacted() >= 4);
    assert_eq!(greetings(&db).await, ["hello", "lasting"].map(str::to_owned).into(), "the other plugin says hello");
    fixture.store.remove(mk_id(2)).await.unwrap();
    assert!(greetings(&db).await.contains("hello"), "the journal needs it");
    report(&fixture, 1, 12).await;
    assert_eq!(greetings(&db).await, ["lasting"].map(str::to_owned).into());
}

#[tokio::test]
async fn documents_of_the_history_stay_until_the_plugin_goes() {
    let fixture = Fixture::keeping(5).await;
    let db = connection(&fixture).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture
        .store
        .install(Plugin {
            desired: Desired { configuration: mk_configuration("other"), ..mk_plugin(2).desired },
            ..mk_plugin(2)
        })
        .await
        .unwrap();
    desire(&fixture, 1, "now").await;
    report(&fixture, 1, 12).await;
    assert!(greetings(&db).await.contains("hello"), "revision 3 of the configuration");
    fixture.store.remove(mk_id(1)).await.unwrap();
    report(&fixture, 2, 12).await;
    assert_eq!(greetings(&db).await, ["other"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_document_that_comes_back_into_use_stays() {
    let fixture = Fixture::keeping(5).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for text in ["other", "hello"] {
        desire(&fixture, 1, text).await;
    }
    report(&fixture, 1, 20).await;
    let commits = journal(&fixture.store, fixture.store.compacted()).await;
    assert_eq!(commits.last().unwrap().plugin.desired.configuration, mk_configuration("hello"));
    let fixture = fixture.reopened(5).await;
    assert_eq!(fixture.loaded.plugins[0].desired.configuration, mk_configuration("hello"));
}
