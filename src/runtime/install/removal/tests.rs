use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    thread,
};

use rustix::fs::{FileType, mkdirat, mknodat, symlinkat};
use tempfile::TempDir;

use super::{super::dir::FOLDER, *};

/// Deeper than a stack of [`STACK`] bytes or a path can follow.
const DEPTH: usize = 30_000;
const STACK: usize = 256 * 1024;
/// The tests are not about how fast the disk is.
const AMPLE: Duration = Duration::from_secs(600);

/// A tree to remove, and a folder beside it to keep.
struct Fixture {
    folder: TempDir,
}

fn mk_fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    fs::create_dir(folder.path().join("outside")).unwrap();
    fs::write(folder.path().join("outside/kept"), "theirs").unwrap();
    Fixture { folder }
}

impl Fixture {
    fn tree(&self) -> std::path::PathBuf {
        self.folder.path().join("tree")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.folder.path().join("outside")
    }

    /// Makes folders one inside the other; in each a link to the outside and what `add` adds.
    fn dig(&self, depth: usize, add: impl Fn(&OwnedFd)) {
        let mut folder = openat(CWD, self.tree(), FOLDER, Mode::empty()).unwrap();
        for _ in 0..depth {
            symlinkat(self.outside(), &folder, "link").unwrap();
            add(&folder);
            mkdirat(&folder, "d", Mode::RWXU).unwrap();
            folder = openat(&folder, "d", FOLDER, Mode::empty()).unwrap();
        }
    }

    #[track_caller]
    fn check_removed(&self) {
        assert!(self.tree().symlink_metadata().is_err(), "something is left");
        assert_eq!(fs::read_to_string(self.outside().join("kept")).unwrap(), "theirs");
    }
}

fn remove_on_small_stack(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || remove_until(&path, Instant::now() + AMPLE))
        .unwrap()
        .join()
        .unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn folders_nested_beyond_any_path_or_stack_are_removed() {
    let fixture = mk_fixture();
    fixture.dig(DEPTH, |_| {});
    remove_on_small_stack(&fixture.tree()).unwrap();
    fixture.check_removed();
}

#[test]
fn branches_on_the_way_down_are_removed_too() {
    let fixture = mk_fixture();
    fixture.dig(300, |folder| {
        for branch in ["a", "e"] {
            mkdirat(folder, branch, Mode::RWXU).unwrap();
            mkdirat(folder, format!("{branch}/full"), Mode::RWXU).unwrap();
            mkdirat(folder, format!("{branch}/full/leaf"), Mode::RWXU).unwrap();
        }
    });
    remove_on_small_stack(&fixture.tree()).unwrap();
    fixture.check_removed();
}

#[test]
fn the_names_that_lifted_folders_get_may_be_taken() {
    let fixture = mk_fixture();
    fs::create_dir_all(fixture.tree().join("a/b/c")).unwrap();
    fs::create_dir_all(fixture.tree().join(".removed-0/.removed-1/.removed-2")).unwrap();
    fs::write(fixture.tree().join(".removed-1"), "").unwrap();
    symlink(fixture.outside(), fixture.tree().join(".removed-2")).unwrap();
    fs::create_dir(fixture.tree().join(".removed-3")).unwrap();
    remove_tree(&fixture.tree()).unwrap();
    fixture.check_removed();
}

#[test]
fn folders_closed_to_everybody_are_removed() {
    let fixture = mk_fixture();
    let closed = fixture.tree().join("closed");
    fs::create_dir_all(closed.join("closed/full")).unwrap();
    fs::write(closed.join("closed/full/file"), "").unwrap();
    for path in [closed.join("closed/full"), closed.join("closed"), closed, fixture.tree()] {
        set_mode(&path, 0);
    }
    remove_tree(&fixture.tree()).unwrap();
    fixture.check_removed();
}

#[test]
fn what_stands_in_for_the_folder_is_removed_but_not_followed() {
    let fixture = mk_fixture();
    let tree = fixture.tree();
    let stand_ins: [&dyn Fn(); 4] = [
        &|| fs::write(&tree, "").unwrap(),
        &|| mknodat(CWD, &tree, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        &|| symlink(fixture.outside(), &tree).unwrap(),
        &|| symlink("nowhere", &tree).unwrap(),
    ];
    fs::remove_dir(&tree).unwrap();
    for stand_in in stand_ins {
        stand_in();
        remove_tree(&tree).unwrap();
        fixture.check_removed();
    }
}

#[test]
fn nothing_to_remove_is_no_error() {
    let fixture = mk_fixture();
    remove_tree(&fixture.folder.path().join("none")).unwrap();
    remove_tree(&fixture.folder.path().join("none/none")).unwrap();
}

#[test]
fn a_removal_that_is_out_of_time_says_so_and_can_be_gone_on_with() {
    let fixture = mk_fixture();
    fixture.dig(10, |_| {});
    let error = remove_until(&fixture.tree(), Instant::now()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    remove_tree(&fixture.tree()).unwrap();
    fixture.check_removed();
}
