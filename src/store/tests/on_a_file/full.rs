//! A disk that is full: more is to be reserved than any disk has.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::domain::Reason;

const NO_DISK: u64 = 1 << 60;
const SOME: u64 = 1 << 20;

/// From now on the disk is full, or has room again.
async fn fill(fixture: &Fixture, is_full: bool) {
    fixture.store.location.reserve().unwrap().want(if is_full { NO_DISK } else { SOME });
    fixture.healthy(!is_full).await;
}

/// What is desired once a plugin is deactivated.
fn mk_stop(number: u32) -> Desired {
    Desired { active: ActiveState::Inactive, generation: 6, ..mk_plugin(number).desired }
}

#[tokio::test]
async fn plugins_are_stopped_and_deleted_and_nothing_else_is_stored() {
    let (mut fixture, _folder) = mk_fixture().await;
    for number in 1..=3 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    fill(&fixture, true).await;
    fixture.store.report(mk_id(1), mk_report(State::Error, 5));
    fixture.store.report(mk_id(3), mk_report(State::Error, 5));
    assert_eq!(fixture.store.desire(mk_id(1), mk_stop(1), "me").await.unwrap().revision, 4);
    fixture.store.report(mk_id(1), mk_report(State::Inactive, 6));
    assert_eq!(fixture.told(5).await[4].plugin.reported.state, State::Inactive);
    assert_eq!(fixture.store.remove(mk_id(2)).await.unwrap().id, mk_id(2));

    let changed = Desired { generation: 7, ..mk_plugin(3).desired };
    for refused in [fixture.store.install(mk_plugin(4)).await, fixture.store.desire(mk_id(3), changed, "me").await] {
        assert!(refused.unwrap_err().message.contains("the disk is full"));
    }
    assert_eq!(fixture.store.create_token(mk_token(1)).await.unwrap_err().reason, Reason::StoreUnavailable);
    assert!(!*fixture.store.healthy().borrow());

    fill(&fixture, false).await;
    let commits = fixture.commits();
    assert_eq!(revisions(&commits), [1, 2, 3, 4, 5, 6, 7]);
    let last = &commits[6].plugin;
    assert_eq!((last.id, last.reported.state), (mk_id(3), State::Error), "what waited of the first was older");
    let again = fixture.reopened(1_000_000).await;
    assert_eq!(journal(&again.store, 0).await, commits);
}

fn blocks(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// SQLite deletes its log with its last connection.
#[tokio::test]
async fn room_is_reserved_for_the_next_start_and_handed_to_the_log_then() {
    let (fixture, folder) = mk_fixture().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    let [log, ballast] = ["-wal", ".reserve"].map(|suffix| folder.path().join(format!("plugd.db{suffix}")));
    let reserved = blocks(&log);
    assert!(reserved >= 4 << 20 && !ballast.exists());
    let place = fixture.place.clone();
    fixture.store.close().await.unwrap();
    assert!(blocks(&ballast) > reserved && !log.exists());
    let fixture = Fixture::at(place, 1_000_000).await;
    fixture.store.install(mk_plugin(2)).await.unwrap();
    assert!(blocks(&log) >= 4 << 20 && !ballast.exists());
}
