use std::collections::HashSet;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter};

use super::*;
use crate::{
    domain::Reason,
    store::{
        compaction,
        entity::{configuration, journal as revisions_kept, manifest},
        lease::Lease,
    },
};

async fn connection(fixture: &Fixture) -> DatabaseConnection {
    lease::readers(&fixture.place.address()).await.unwrap()
}

/// Greetings of the stored configurations.
pub(super) async fn greetings(db: &DatabaseConnection) -> HashSet<String> {
    let rows = configuration::Entity::find().all(db).await.unwrap();
    rows.iter().filter_map(|row| field(&row.body, "greeting")).collect()
}

fn field(body: &str, name: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    Some(body.get(name)?.as_str()?.to_owned())
}

async fn manifests(db: &DatabaseConnection) -> HashSet<String> {
    let rows = manifest::Entity::find().all(db).await.unwrap();
    rows.iter().filter_map(|row| field(&row.body, "id")).collect()
}

/// Reports one after the other, so that each is a transaction of its own.
pub(super) async fn report(fixture: &Fixture, number: u32, count: u64) {
    for round in 0..count {
        fixture.store.report(mk_id(number), mk_report(State::Active, round));
        fixture.store.flush().await.unwrap();
    }
    // What is due is forgotten after the answer, and before the next.
    fixture.store.flush().await.unwrap();
}

/// Gives a plugin another manifest.
async fn update(fixture: &Fixture, number: u32, id: &str) {
    let desired = Desired { manifest: Arc::new(mk_manifest(id)), ..mk_plugin(number).desired };
    fixture.store.desire(mk_id(number), desired, "somebody").await.unwrap();
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
    assert_eq!(revisions_kept::Entity::find().count(&connection(&fixture).await).await.unwrap(), 20);
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
async fn a_manifest_is_stored_once_however_many_revisions_use_it() {
    let fixture = Fixture::new().await;
    for number in 0..3 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
        report(&fixture, number, 5).await;
    }
    assert_eq!(manifest::Entity::find().count(&connection(&fixture).await).await.unwrap(), 2, "and that before it");
    let commits = journal(&fixture.store, 0).await;
    assert!(commits.iter().all(|commit| commit.plugin.desired == mk_plugin(commit_number(commit)).desired));
}

/// The number of the plugin of a commit.
fn commit_number(commit: &Commit) -> u32 {
    u32::from(commit.plugin.id.as_bytes()[11])
}

#[tokio::test]
async fn manifests_go_when_nothing_needs_them_any_more() {
    let fixture = Fixture::keeping(10).await;
    let db = connection(&fixture).await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    update(&fixture, 1, "passing").await;
    update(&fixture, 1, "lasting").await;
    assert_eq!(manifests(&db).await, ["greeter", "earlier", "passing", "lasting"].map(str::to_owned).into());
    report(&fixture, 1, 12).await;
    assert!(fixture.store.compacted() >= 4);
    assert_eq!(
        manifests(&db).await,
        ["greeter", "earlier", "lasting"].map(str::to_owned).into(),
        "the other is a greeter"
    );
    fixture.store.remove(mk_id(2)).await.unwrap();
    assert!(manifests(&db).await.contains("greeter"), "the journal needs it");
    report(&fixture, 1, 12).await;
    assert_eq!(manifests(&db).await, ["earlier", "lasting"].map(str::to_owned).into(), "what it can go back to stays");
}

#[tokio::test]
async fn a_manifest_that_comes_back_into_use_stays() {
    let fixture = Fixture::keeping(5).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for id in ["other", "greeter"] {
        update(&fixture, 1, id).await;
    }
    report(&fixture, 1, 20).await;
    let commits = journal(&fixture.store, fixture.store.compacted()).await;
    assert_eq!(*commits.last().unwrap().plugin.desired.manifest, mk_manifest("greeter"));
    let fixture = fixture.reopened(5).await;
    assert_eq!(*fixture.loaded.plugins[0].desired.manifest, mk_manifest("greeter"));
}

#[tokio::test]
async fn configurations_stay_while_the_journal_needs_them_and_go_with_the_plugin() {
    let fixture = Fixture::keeping(5).await;
    let db = connection(&fixture).await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let other = Desired { configuration: mk_configuration("other"), ..mk_plugin(2).desired };
    fixture.store.install(Plugin { desired: other, ..mk_plugin(2) }).await.unwrap();
    let now = Desired { configuration: mk_configuration("now"), configuration_revision: 4, ..mk_plugin(1).desired };
    fixture.store.desire(mk_id(1), now, "somebody").await.unwrap();
    report(&fixture, 1, 12).await;
    assert!(greetings(&db).await.contains("hello"), "it is listed");
    fixture.store.remove(mk_id(1)).await.unwrap();
    assert!(greetings(&db).await.contains("hello"), "the journal needs it");
    assert_eq!(fixture.store.configuration_revisions(mk_id(1), None, 9).await.unwrap(), []);
    report(&fixture, 2, 12).await;
    assert_eq!(greetings(&db).await, ["other"].map(str::to_owned).into());
}

/// Lets every change of this kind of a row of this table fail.
async fn forbid(fixture: &Fixture, change: &str, table: &str) -> DatabaseConnection {
    let db = fixture.place.connection().await;
    let trigger = format!("CREATE TRIGGER kept BEFORE {change} ON {table}");
    let statements = match &fixture.place {
        Place::File(_) => vec![format!("{trigger} BEGIN SELECT RAISE(ABORT, 'it is kept'); END")],
        Place::Server(_) => vec![
            "CREATE FUNCTION keep() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'it is kept'; END $$ LANGUAGE plpgsql"
                .to_owned(),
            format!("{trigger} FOR EACH ROW EXECUTE FUNCTION keep()"),
        ],
    };
    for statement in &statements {
        db.execute_unprepared(statement).await.unwrap();
    }
    db
}

/// It failed with the compaction, and each later one with the next.
#[tokio::test]
async fn a_change_is_stored_though_old_revisions_can_not_be_forgotten() {
    let fixture = Fixture::keeping(5).await;
    fixture.store.install(mk_plugin(0)).await.unwrap();
    let db = forbid(&fixture, "DELETE", "journal").await;
    for number in 1..=20 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    assert!(*fixture.store.healthy().borrow());
    assert_eq!((fixture.commits().len(), fixture.store.compacted()), (21, 0));
    let of_table = if matches!(fixture.place, Place::File(_)) { "" } else { " ON journal" };
    db.execute_unprepared(&format!("DROP TRIGGER kept{of_table}")).await.unwrap();
    let forgotten = async {
        while fixture.store.compacted() < 16 {
            fixture.store.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("they are forgotten later");
}

/// Each may have a MiB: a change must not write them all once more, nor one transaction delete them all.
#[tokio::test]
async fn many_configurations_go_a_few_at_a_time_and_are_not_written_again_for_that() {
    let fixture = Fixture::new().await;
    let db = forbid(&fixture, "UPDATE", "configuration").await;
    for number in [1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    for revision in 4..150 {
        let desired = Desired { configuration_revision: revision, ..mk_plugin(1).desired };
        fixture.store.desire(mk_id(1), desired, "somebody").await.unwrap();
    }
    let listed = fixture.store.configuration_revisions(mk_id(1), None, 200).await.unwrap();
    assert_eq!((listed.len(), listed[0].revision, listed[99].revision), (100, 149, 50));
    fixture.store.remove(mk_id(1)).await.unwrap();
    let place = fixture.place.clone();
    fixture.store.close().await.unwrap();

    let lease = Lease::open(place.address()).await.unwrap();
    let head = lease.acquire().await.unwrap().head;
    let of_plugin = || configuration::Entity::find().filter(configuration::Column::PluginId.eq(mk_id(1)));
    let upto = u64::try_from(head).unwrap();
    assert!(compaction::is_behind(lease.db(), upto).await.unwrap(), "as a restart in the middle of it");
    // That a configuration is not there any more counts like one.
    for (is_behind, left) in [(true, 49), (false, 0), (false, 0)] {
        assert_eq!(compaction::compact(&lease, upto, 100).await.unwrap(), is_behind);
        assert_eq!(of_plugin().count(&db).await.unwrap(), left);
    }
    assert!(!compaction::is_behind(lease.db(), upto).await.unwrap());
    lease.release().await.unwrap();
}

#[tokio::test]
async fn manifests_go_a_few_at_a_time_and_are_not_written_again_for_that() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let db = forbid(&fixture, "UPDATE", "manifest").await;
    for number in 0..10 {
        update(&fixture, 1, &format!("m{number}")).await;
    }
    let place = fixture.place.clone();
    fixture.store.close().await.unwrap();

    let lease = Lease::open(place.address()).await.unwrap();
    let head = u64::try_from(lease.acquire().await.unwrap().head).unwrap();
    // Ten are not used any more; the last one and that of the package before are.
    for (is_behind, left) in [(true, 6), (false, 2), (false, 2)] {
        assert_eq!(compaction::compact(&lease, head, 6).await.unwrap(), is_behind);
        assert_eq!(manifest::Entity::find().count(&db).await.unwrap(), left);
    }
    lease.release().await.unwrap();
}
