//! What plugins do to their folders and markers.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Runs this as a user to whom modes apply: root may do everything otherwise.
fn without_privileges(act: impl FnOnce() + Send) {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let drop_and_act = || {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        set_capabilities(None, sets).unwrap();
        act();
    };
    // Of this thread alone.
    std::thread::scope(|scope| scope.spawn(drop_and_act).join().unwrap());
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_package_is_laid_into_folders_that_the_plugin_closed_and_the_old_one_comes_back() {
    for mode in [0, 0o111, 0o444, 0o555] {
        let fixture = mk_fixture();
        fixture.lay(OLD, &old()).unwrap();
        fixture.write("lib/deep/state", "mine");
        let close = |names: &[&str]| names.iter().for_each(|name| set_mode(&fixture.path(name), mode));
        without_privileges(|| {
            close(&["lib/deep/b", "lib/deep", "lib", "gone", ".plugd/installed.json", ".plugd", ".sdxlock", ""]);
            fixture.lay(NEW, &new()).unwrap();
            assert!(fixture.is_current(NEW));
            close(&["lib/a", "lib/deep", "lib", "fresh", ".plugd/installed.json", ".plugd", ".sdxlock", ""]);
            fixture.lay(OLD, &old()).unwrap();
            close(&[".sdxlock", ".plugd/installed.json", ".plugd", "lib", ""]);
            assert!(fixture.is_current(OLD), "{mode:o}");
        });
        let mut expected = as_map(&old().0);
        expected.insert("lib/deep/state".to_owned(), "mine".to_owned());
        assert_eq!(fixture.files(), expected);
    }
}

#[test]
fn folders_that_are_not_changed_keep_their_mode() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    set_mode(&fixture.path("lib"), 0o555);
    without_privileges(|| assert!(fixture.is_current(OLD)));
    assert_eq!(fs::metadata(fixture.path("lib")).unwrap().permissions().mode() & 0o777, 0o555);
}

#[test]
fn what_is_in_the_way_is_set_aside_though_its_name_is_long_and_others_are_taken() {
    let long: &'static str = Box::leak("x".repeat(255).into_boxed_str());
    let fixture = mk_fixture();
    fixture.write(&format!("{long}/of/mine"), "folder for a file");
    fixture.write("run/of/mine", "folder for a file");
    fixture.write("run.saved/of/mine", "from before");
    fixture.lay(NEW, &Files(vec![("run", "new run"), (long, "new long")])).unwrap();
    let files = fixture.files();
    assert_eq!((&*files["run"], &*files[long]), ("new run", "new long"));
    assert_eq!(files.values().filter(|contents| *contents == "folder for a file").count(), 2, "{files:?}");
}

#[test]
fn folders_of_another_user_are_given_to_the_one_that_plugins_run_as() {
    // Only root may give folders away.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    fixture.owner = Some(User { uid: 54_321, gid: 54_322 });
    fixture.lay(NEW, &new()).unwrap();
    for name in ["", "lib", "lib/a", "fresh", "run", "empty"] {
        let found = fs::metadata(fixture.path(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (54_321, 54_322), "{name:?}");
    }
}

/// Makes a file so large, sparse, that nobody could hold it in memory.
fn inflate(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().set_len(1 << 42).unwrap();
}

#[test]
fn a_huge_file_in_place_of_a_marker_counts_as_none() {
    for name in [".sdxlock", ".plugd/installed.json"] {
        let fixture = mk_fixture();
        fixture.lay(OLD, &old()).unwrap();
        inflate(&fixture.path(name));
        assert!(!fixture.is_current(OLD), "{name}");
        fixture.lay(OLD, &old()).unwrap();
        assert!(fixture.is_current(OLD), "{name}");
    }
}

#[test]
fn what_is_no_file_in_place_of_a_marker_is_neither_waited_for_nor_followed() {
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("marker");
    let stand_ins: [&dyn Fn(&Path); 3] = [
        &|path| fs::create_dir(path).unwrap(),
        &|path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o666.into(), 0).unwrap(),
        &|path| symlink(&elsewhere, path).unwrap(),
    ];
    for name in [".sdxlock", ".plugd/installed.json"] {
        for stand_in in stand_ins {
            let fixture = mk_fixture();
            fixture.lay(OLD, &old()).unwrap();
            fs::rename(fixture.path(name), &elsewhere).unwrap();
            stand_in(&fixture.path(name));
            assert!(!fixture.is_current(OLD), "{name}");
            fixture.lay(OLD, &old()).unwrap();
            assert!(fixture.is_current(OLD), "{name}");
        }
    }
}

#[test]
fn a_plan_that_was_spoiled_is_dropped_and_the_package_laid_anew() {
    let spoils: [&dyn Fn(&Path); 3] = [&|path| inflate(path), &|path| fs::write(path, "{").unwrap(), &|path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }];
    for spoil in spoils {
        let fixture = mk_fixture();
        fixture.lay(OLD, &old()).unwrap();
        let until_planned = fixture.installations.lay(fixture.wanted(NEW), &new(), &|step| match step {
            Step::Planned => Err(InstallError::Cancelled),
            _ => Ok(()),
        });
        assert!(until_planned.is_err());
        spoil(&fixture.installations.staging(fixture.plugin).join("plan.json"));
        assert!(!fixture.is_current(OLD) && !fixture.is_current(NEW));
        fixture.lay(NEW, &new()).unwrap();
        assert!(fixture.is_current(NEW));
        assert_eq!(fixture.files(), as_map(&new().0));
    }
}
