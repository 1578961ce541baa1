use super::*;

/// The files as a killed process leaves them, with a rest of the log that was never taken into the database.
pub(super) fn as_if_killed(original: &TempDir) -> Place {
    let folder = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("plugd.db{suffix}");
        std::fs::copy(original.path().join(&name), folder.path().join(&name)).unwrap();
    }
    Place::File(Arc::new(folder))
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let (mut fixture, folder) = mk_fixture().await;
    for number in 0..20 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
        fixture.store.report(mk_id(number), mk_report(State::Active, 1));
    }
    let commits = fixture.told(40).await;
    let copy = Fixture::at(as_if_killed(&folder), 1_000_000).await;
    assert_eq!(copy.loaded.head, 40);
    assert_eq!(copy.loaded.plugins.len(), 20);
    assert_eq!(journal(&copy.store, 0).await, commits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_leaves_whole_changes_and_all_that_were_told_of() {
    let (mut fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for number in 0..5000 {
        fixture.store.report(mk_id(1), mk_report(State::Active, number));
    }
    let told = fixture.told(100).await;
    let copy = Fixture::at(as_if_killed(&folder), 1_000_000).await;
    let kept = journal(&copy.store, 0).await;
    assert!(kept.len() >= told.len(), "{} of {}", kept.len(), told.len());
    assert_eq!(kept[..told.len()], told);
    assert_eq!(revisions(&kept), (1..=copy.loaded.head).collect::<Vec<_>>());
    assert_eq!(copy.loaded.plugins, [Plugin::clone(&kept.last().unwrap().plugin)]);
}
