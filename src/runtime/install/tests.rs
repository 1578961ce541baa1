use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::Mutex,
};

use tempfile::TempDir;

use super::{dir::Inside, *};

mod spoiled;
mod users;

/// A package in memory: path and contents.
#[derive(Clone)]
struct Files(Vec<(&'static str, &'static str)>);

impl PackageFiles for Files {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn for_each(&self, next: &AtomicUsize, sink: &mut FileSink<'_>) -> io::Result<()> {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some((path, contents)) = self.0.get(number)
        {
            sink(number, path, 0o644, &mut Cursor::new(contents))?;
        }
        Ok(())
    }

    fn folders(&self) -> Vec<String> {
        vec!["empty/".into()]
    }
}

struct Broken(io::ErrorKind);

impl PackageFiles for Broken {
    fn count(&self) -> usize {
        1
    }

    fn for_each(&self, _: &AtomicUsize, _: &mut FileSink<'_>) -> io::Result<()> {
        Err(self.0.into())
    }
}

const OLD: Digest = Digest([1; 32]);
const NEW: Digest = Digest([2; 32]);

fn old() -> Files {
    Files(vec![("run", "old run"), ("lib/a", "old a"), ("lib/deep/b", "old b"), ("gone/c", "old c")])
}

fn new() -> Files {
    Files(vec![("run", "new run"), ("lib/a", "new a"), ("fresh/d", "new d")])
}

struct Fixture {
    installations: Installations,
    plugin: PluginId,
    owner: Option<User>,
    folder: TempDir,
}

fn mk_fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let installations = Installations::new(folder.path().join("plugins"));
    Fixture { installations, plugin: PluginId::from_bytes([5; 12]), owner: None, folder }
}

impl Fixture {
    fn wanted(&self, digest: Digest) -> Wanted {
        Wanted { plugin: self.plugin, digest, owner: self.owner }
    }

    fn lay(&self, digest: Digest, files: &dyn PackageFiles) -> Result<()> {
        self.installations.lay(self.wanted(digest), files, &|_| Ok(()))
    }

    fn is_current(&self, digest: Digest) -> bool {
        self.installations.is_current(self.wanted(digest), &|_| Ok(())).unwrap()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.installations.dir(self.plugin).join(path)
    }

    fn write(&self, path: &str, contents: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), contents).unwrap();
    }

    /// Every file with its contents, but for the markers.
    fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        collect(&self.path(""), &self.path(""), &mut found);
        found
    }
}

fn collect(root: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if entry.file_type().unwrap().is_dir() {
            if name != ".plugd" {
                collect(root, &entry.path(), found);
            }
        } else if name != ".sdxlock" {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
}

fn as_map(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, contents)| ((*path).to_owned(), (*contents).to_owned())).collect()
}

#[test]
fn an_update_takes_what_the_old_package_brought_and_keeps_what_the_plugin_wrote() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    fixture.write("lib/deep/state", "mine");
    fixture.write("data/db", "mine");
    fs::create_dir(fixture.path("hollow")).unwrap();
    fixture.lay(NEW, &new()).unwrap();
    let mut expected = as_map(&new().0);
    expected.extend(as_map(&[("lib/deep/state", "mine"), ("data/db", "mine")]));
    assert_eq!(fixture.files(), expected);
    assert!(!fixture.path("gone").exists(), "a folder that the old package brought and that is empty goes");
    assert!(fixture.path("hollow").exists(), "an empty folder that the plugin made stays");
    assert!(fixture.path("empty").is_dir(), "an empty folder of the package comes");
}

#[test]
fn a_package_that_is_in_place_is_not_laid_again() {
    let fixture = mk_fixture();
    assert!(!fixture.is_current(OLD));
    fixture.lay(OLD, &old()).unwrap();
    fixture.write("lib/a", "changed by the plugin");
    assert!(fixture.is_current(OLD));
    assert!(!fixture.is_current(NEW));
    fs::remove_file(fixture.path("lib/a")).unwrap();
    assert!(!fixture.is_current(OLD), "a file is missing");
}

#[test]
fn a_spoiled_marker_counts_as_none() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    fixture.write(".plugd/installed.json", r#"{"digest":"x","files":[{"path":"../../x","size":0,"mode":0}]}"#);
    assert!(!fixture.is_current(OLD));
    fixture.lay(OLD, &old()).unwrap();
    assert!(fixture.is_current(OLD));
}

/// Lays the new package over the old one, stopping after `steps` steps. Says whether it came to its end.
fn lay_until(fixture: &Fixture, steps: usize) -> (bool, Option<Step>) {
    let done = Mutex::new(Vec::new());
    let outcome = fixture.installations.lay(fixture.wanted(NEW), &new(), &|step| {
        let mut done = done.lock().unwrap();
        done.push(step);
        if done.len() > steps { Err(InstallError::Cancelled) } else { Ok(()) }
    });
    (outcome.is_ok(), done.into_inner().unwrap().last().copied())
}

#[test]
fn stopped_after_any_step_the_next_start_sees_the_old_package_or_the_new_one() {
    let mut seen = Vec::new();
    for steps in 0.. {
        let fixture = mk_fixture();
        fixture.lay(OLD, &old()).unwrap();
        fixture.write("lib/deep/state", "mine");
        let (is_done, last) = lay_until(&fixture, steps);
        seen.extend(last);
        let is_new = fixture.is_current(NEW);
        assert_eq!(fixture.is_current(OLD), !is_new, "after {steps} steps");
        let mut expected = as_map(&if is_new { new() } else { old() }.0);
        expected.insert("lib/deep/state".into(), "mine".into());
        assert_eq!(fixture.files(), expected, "after {steps} steps, {last:?}");
        assert_eq!(is_new, last != Some(Step::Staged), "after {last:?}");
        assert!(!fixture.installations.staging(fixture.plugin).exists());
        fixture.lay(NEW, &new()).unwrap();
        assert!(fixture.is_current(NEW));
        if is_done {
            break;
        }
    }
    let all = [Step::Staged, Step::Planned, Step::Removed, Step::Added, Step::Marked, Step::Cleared];
    assert!(all.iter().all(|step| seen.contains(step)), "{seen:?}");
}

#[test]
fn a_folder_replaced_by_a_link_is_not_followed() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    let outside = fixture.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("a"), "theirs").unwrap();
    fs::write(outside.join("c"), "theirs").unwrap();
    for name in ["lib", "gone", ".plugd"] {
        fs::remove_dir_all(fixture.path(name)).unwrap();
        symlink(&outside, fixture.path(name)).unwrap();
    }
    fs::remove_file(fixture.path("run")).unwrap();
    symlink(outside.join("c"), fixture.path("run")).unwrap();
    fixture.lay(NEW, &new()).unwrap();
    assert!(fixture.is_current(NEW));
    assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(outside.join("c")).unwrap(), "theirs");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(fixture.path("lib/a")).unwrap(), "new a");
    assert!(!fixture.path("lib").is_symlink() && !fixture.path("run").is_symlink());
}

#[test]
fn a_removal_does_not_follow_a_link_either() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    let outside = fixture.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("c"), "theirs").unwrap();
    fs::remove_dir_all(fixture.path("gone")).unwrap();
    symlink(&outside, fixture.path("gone")).unwrap();
    fixture.lay(NEW, &new()).unwrap();
    assert_eq!(fs::read_to_string(outside.join("c")).unwrap(), "theirs");
}

#[test]
fn what_the_plugin_put_in_the_way_is_set_aside() {
    let fixture = mk_fixture();
    fixture.write("run/of/mine", "folder for a file");
    fixture.write("lib", "file for a folder");
    fixture.lay(NEW, &new()).unwrap();
    let mut expected = as_map(&new().0);
    expected.extend(as_map(&[("run.saved/of/mine", "folder for a file"), ("lib.saved", "file for a folder")]));
    assert_eq!(fixture.files(), expected);
}

#[test]
fn a_package_that_names_bad_paths_is_refused_before_anything_changes() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    for bad in [vec![("../x", "")], vec![(".plugd/x", "")]] {
        let error = fixture.lay(NEW, &Files(bad)).unwrap_err();
        assert!(matches!(error, InstallError::Package(_)), "{error}");
        assert!(fixture.is_current(OLD));
        assert_eq!(fixture.files(), as_map(&old().0));
    }
}

#[test]
fn a_path_stays_inside() {
    for (given, expected) in [("a", "a"), ("/etc/passwd", "etc/passwd"), ("./a//b", "a/b"), ("a/../b/", "b")] {
        assert_eq!(Inside::parse(given).unwrap().to_string(), expected);
    }
    let long = "a/".repeat(600);
    for given in [&*long, "", "/", ".", "a/../..", "..", ".plugd/installed.json", "a/../.plugd/x", "logs/x", "a\0b"] {
        assert!(Inside::parse(given).is_err(), "{given:?}");
    }
    let above: Vec<_> = Inside::parse("a/b/c").unwrap().ancestors().map(|path| path.to_string()).collect();
    assert_eq!(above, ["a/b", "a"], "the nearest first");
}

#[test]
fn only_a_package_that_is_broken_itself_is_a_permanent_failure() {
    let fixture = mk_fixture();
    let failure = |kind| crate::domain::Failure::from(fixture.lay(OLD, &Broken(kind)).unwrap_err());
    assert!(failure(io::ErrorKind::InvalidData).is_permanent);
    assert!(!failure(io::ErrorKind::StorageFull).is_permanent);
}

#[test]
fn a_disk_that_refuses_is_named() {
    let fixture = mk_fixture();
    fs::write(fixture.folder.path().join("plugins"), "").unwrap();
    let error = fixture.lay(OLD, &old()).unwrap_err();
    assert!(error.to_string().starts_with("cannot open "), "{error}");
}

#[test]
fn a_file_has_the_permissions_of_its_entry_without_special_bits() {
    struct Modes;
    impl PackageFiles for Modes {
        fn count(&self) -> usize {
            1
        }

        fn for_each(&self, _: &AtomicUsize, sink: &mut FileSink<'_>) -> io::Result<()> {
            sink(0, "closed", 0o400, &mut io::empty())?;
            sink(1, "setuid", 0o4755, &mut io::empty())
        }
    }
    let fixture = mk_fixture();
    fixture.lay(OLD, &Modes).unwrap();
    let mode = |path| fs::metadata(fixture.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("setuid"), mode("")), (0o400, 0o755, 0o755));
}

#[test]
fn removing_takes_read_only_folders_too_and_is_content_with_nothing() {
    let fixture = mk_fixture();
    fixture.installations.remove(fixture.plugin).unwrap();
    fixture.lay(OLD, &old()).unwrap();
    fs::set_permissions(fixture.path("lib/deep"), fs::Permissions::from_mode(0o555)).unwrap();
    fixture.installations.remove(fixture.plugin).unwrap();
    assert!(!fixture.path("").exists());
}

#[test]
fn only_the_trash_is_emptied() {
    let fixture = mk_fixture();
    fixture.lay(OLD, &old()).unwrap();
    let trash = fixture.folder.path().join("plugins").join(TRASH);
    fs::create_dir_all(trash.join("half/deleted")).unwrap();
    fixture.installations.empty_trash().unwrap();
    assert!(!trash.exists());
    assert!(fixture.path("").exists(), "a folder that is not in the trash was taken");
}
