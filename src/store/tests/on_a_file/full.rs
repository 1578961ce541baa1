//! A disk that is full: more is to be reserved than any disk has.

use std::{fs::File, io::Write, process::Command};

use super::*;
use crate::domain::Reason;

const NO_DISK: u64 = 1 << 60;
const SOME: u64 = 1 << 20;

/// From now on the disk is full, or has room again.
async fn fill(fixture: &Fixture, is_full: bool) {
    fixture.store.location.want(if is_full { NO_DISK } else { SOME }).await;
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

const SMALL_DISK: &str = "PLUGD_TEST_SMALL_DISK";

const OF_A_PLUGIN: &str = "of a plugin";

/// As a plugin does.
fn fill_up(disk: &Path) {
    let mut file = File::create(disk.join(OF_A_PLUGIN)).unwrap();
    for bytes in [1 << 16, 1] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
}

#[tokio::test]
async fn in_the_role_of_a_plugd_on_a_small_disk() {
    let Some(disk) = std::env::var_os(SMALL_DISK) else { return };
    let place = Place::File(Arc::new(tempfile::tempdir_in(&disk).unwrap()));
    let mut fixture = Fixture::at(place.clone(), 1_000_000).await;
    for number in 1..=2 {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    fill_up(Path::new(&disk));
    // Nobody has looked at the disk since: so many changes find its end.
    let mut count = 2;
    while fixture.store.install(mk_plugin(10 + count)).await.is_ok() {
        count += 1;
    }
    fixture.healthy(false).await;
    fixture.store.desire(mk_id(1), mk_stop(1), "me").await.unwrap();
    for state in [State::Stopping, State::Inactive] {
        fixture.store.report(mk_id(1), mk_report(state, 6));
    }
    let told = fixture.told(count as usize + 3).await;
    assert_eq!(told.last().unwrap().plugin.reported.state, State::Inactive);
    assert!(fixture.store.install(mk_plugin(3)).await.unwrap_err().message.contains("the disk is full"));
    fixture.store.remove(mk_id(2)).await.unwrap();
    let commits = fixture.commits();
    fixture.store.close().await.unwrap_err();

    std::fs::remove_file(Path::new(&disk).join(OF_A_PLUGIN)).unwrap();
    let again = Fixture::at(place, 1_000_000).await;
    assert_eq!(journal(&again.store, 0).await, commits);
}

#[test]
fn what_stops_a_plugin_is_stored_on_a_disk_that_has_no_block_left() {
    let folder = tempfile::tempdir().unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-ec", script, "sh"]).arg(folder.path()).env(SMALL_DISK, folder.path());
        command
    };
    let mount = "mount -t tmpfs -o size=24m none \"$1\"";
    // Not every host lets its users mount something.
    if !unshare(mount).output().is_ok_and(|output| output.status.success()) {
        return;
    }
    let name = "store::tests::on_a_file::full::in_the_role_of_a_plugd_on_a_small_disk";
    let mut plugd = unshare(&format!("{mount}; exec \"$2\" --exact {name} --nocapture"));
    let output = plugd.arg(std::env::current_exe().unwrap()).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
