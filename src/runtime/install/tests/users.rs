//! A user of its own for each plugin. Only root may give files away: as another user there is nothing to see here.

use std::os::unix::fs::{MetadataExt, chown};

use super::*;

fn plugin(number: u8) -> PluginId {
    PluginId::from_bytes([number; 12])
}

/// Two users.
fn range() -> UserRange {
    "61000-61001".parse().unwrap()
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: this needs root");
    }
    is_root
}

/// As plugd finds the folders when it is started anew.
fn again(fixture: &Fixture) -> Installations {
    Installations::new(fixture.installations.root.clone())
}

fn uid(installations: &Installations, number: u8) -> Result<u32> {
    installations.claim_user(plugin(number), range()).map(|user| user.uid)
}

#[test]
fn each_plugin_has_a_user_of_its_own_for_good() {
    if !is_root() {
        return;
    }
    let fixture = mk_fixture();
    fs::create_dir_all(&fixture.installations.root).unwrap();
    for installations in [&fixture.installations, &again(&fixture)] {
        for (number, expected) in [(1, 61000), (2, 61001), (1, 61000)] {
            assert_eq!(uid(installations, number).unwrap(), expected);
            let found = fs::metadata(installations.dir(plugin(number))).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (expected, expected, 0o700));
        }
        let failure = Failure::from(uid(installations, 3).unwrap_err());
        assert!(failure.is_permanent && failure.message.contains("each of 61000-61001 has one"), "{}", failure.message);
        assert!(!installations.dir(plugin(3)).exists());
    }
}

#[test]
fn a_user_is_free_again_when_nothing_of_its_plugin_is_left() {
    if !is_root() {
        return;
    }
    let fixture = mk_fixture();
    fs::create_dir_all(&fixture.installations.root).unwrap();
    for number in [1, 2] {
        uid(&fixture.installations, number).unwrap();
    }
    // As plugd leaves it that is killed in the middle of a deletion.
    let (folder, trash) = (fixture.installations.dir(plugin(1)), fixture.installations.root.join(TRASH));
    fs::create_dir(&trash).unwrap();
    fs::rename(folder, trash.join("deleted")).unwrap();
    let next = again(&fixture);
    assert!(matches!(uid(&next, 3), Err(InstallError::NoUser(_))), "it is still being taken apart");
    next.empty_trash().unwrap();
    assert_eq!(uid(&next, 3).unwrap(), 61000);
    next.remove(plugin(2)).unwrap();
    assert_eq!(uid(&next, 4).unwrap(), 61001);
}

#[test]
fn of_plugins_that_had_one_user_each_gets_one_of_its_own() {
    if !is_root() {
        return;
    }
    let fixture = mk_fixture();
    for number in [1, 2] {
        fs::create_dir_all(fixture.installations.dir(plugin(number))).unwrap();
        chown(fixture.installations.dir(plugin(number)), Some(61000), Some(61000)).unwrap();
    }
    let mut uids = [1, 2].map(|number| uid(&fixture.installations, number).unwrap());
    uids.sort_unstable();
    assert_eq!(uids, [61000, 61001]);
}
