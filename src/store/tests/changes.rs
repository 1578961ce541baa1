use crate::domain::Reason;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_tasks_at_once_get_gapless_revisions_in_one_order() {
    let mut fixture = Fixture::new().await;
    let tasks: Vec<_> = (0..100).map(|number| tokio::spawn(work_of_one(fixture.store.clone(), number))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let commits = fixture.told(400).await;
    assert_eq!(revisions(&commits), (1..=400).collect::<Vec<_>>());
    assert_eq!(journal(&fixture.store, 0).await, commits);
}

/// Four changes, each answered only after it was told of.
async fn work_of_one(store: Store, number: u32) {
    let installed = store.install(mk_plugin(number)).await.unwrap();
    store.report(installed.id, mk_report(State::Starting, 1));
    store.report(installed.id, mk_report(State::Active, 2));
    let desired = Desired { generation: 6, ..installed.desired.clone() };
    let after = store.desire(installed.id, desired, "somebody").await.unwrap();
    assert_eq!(after.reported.state, State::Active, "the order of one caller is kept");
    assert!(after.revision >= installed.revision + 3);
}

#[tokio::test]
async fn an_answer_comes_after_it_was_told_of() {
    let fixture = Fixture::new().await;
    let installed = fixture.store.install(mk_plugin(1)).await.unwrap();
    assert_eq!(fixture.commits().last().unwrap().plugin, installed);
}

#[tokio::test]
async fn what_is_desired_and_what_is_reported_never_overwrite_each_other() {
    let mut fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let desired = Desired { generation: 9, configuration: mk_configuration("new"), ..plugin.desired.clone() };
    let report = mk_report(State::Error, 5);
    fixture.store.report(plugin.id, report.clone());
    fixture.store.desire(plugin.id, desired.clone(), "somebody").await.unwrap();
    let last = fixture.store.desire(plugin.id, Desired { generation: 10, ..desired.clone() }, "").await.unwrap();
    assert_eq!(last.reported, report);
    fixture.store.report(plugin.id, mk_report(State::Inactive, 10));
    let commits = fixture.told(5).await;
    assert_eq!(commits[4].plugin.desired, Desired { generation: 10, ..desired });
}

#[tokio::test]
async fn a_commit_says_what_was_before() {
    let mut fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.report(plugin.id, mk_report(State::Starting, 1));
    fixture.store.report(plugin.id, mk_report(State::Active, 1));
    let removed = fixture.store.remove(plugin.id).await.unwrap();
    let commits = fixture.told(4).await;
    let before: Vec<_> = commits.iter().map(|commit| commit.before).collect();
    assert_eq!(before, [None, Some(State::Inactive), Some(State::Starting), Some(State::Active)]);
    let removals: Vec<_> = commits.iter().map(|commit| commit.is_removal).collect();
    assert_eq!(removals, [false, false, false, true]);
    assert_eq!(commits[3].plugin, removed);
    assert_eq!(removed.revision, 4);
}

#[tokio::test]
async fn what_changes_nothing_takes_no_revision() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.report(plugin.id, plugin.reported.clone());
    assert_eq!(fixture.store.desire(plugin.id, plugin.desired.clone(), "somebody").await.unwrap(), plugin);
    assert_eq!(fixture.commits().len(), 1);
}

#[tokio::test]
async fn a_plugin_that_is_gone_takes_no_changes() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.remove(plugin.id).await.unwrap();
    fixture.store.report(plugin.id, mk_report(State::Error, 1));
    let desired = Desired { generation: 9, ..plugin.desired.clone() };
    let error = fixture.store.desire(plugin.id, desired, "somebody").await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginNotFound);
    assert_eq!(error.metadata["plugin_id"], plugin.id.to_string());
    assert_eq!(fixture.store.remove(plugin.id).await.unwrap_err().reason, Reason::PluginNotFound);
    assert_eq!(fixture.commits().len(), 2);
}

#[tokio::test]
async fn an_id_is_given_only_once() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let again = Plugin { request: None, ..mk_plugin(1) };
    assert_eq!(fixture.store.install(again).await.unwrap_err().reason, Reason::Internal);
}
