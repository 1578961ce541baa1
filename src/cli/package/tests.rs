use std::os::unix::fs::symlink;

use zip::ZipArchive;

use super::*;
use crate::cli::failure::Exit;

fn write(folder: &Path, name: &str, contents: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

fn mk_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), MANIFEST, "{}");
    write(folder.path(), "main.py", "print()");
    write(folder.path(), "lib/b.py", "b");
    write(folder.path(), "lib/a.py", "a");
    folder
}

fn names(package: &Package) -> Vec<String> {
    let archive = ZipArchive::new(Cursor::new(package.bytes.clone())).unwrap();
    (0..archive.len()).map(|index| archive.name_for_index(index).unwrap().unwrap().into_owned()).collect()
}

#[test]
fn a_folder_becomes_a_package_in_order_of_names() {
    let folder = mk_folder();
    let package = Package::read(folder.path()).unwrap();
    assert_eq!(names(&package), ["lib/a.py", "lib/b.py", "main.py", MANIFEST]);
}

#[test]
fn the_same_files_make_the_same_package_wherever_they_are() {
    let (one, other) = (mk_folder(), mk_folder());
    assert_eq!(Package::read(one.path()).unwrap(), Package::read(other.path()).unwrap());
    write(other.path(), "main.py", "print(1)");
    assert_ne!(Package::read(one.path()).unwrap().digest, Package::read(other.path()).unwrap().digest);
}

#[test]
fn permissions_are_kept() {
    let folder = mk_folder();
    let script = folder.path().join("main.py");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let package = Package::read(folder.path()).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(package.bytes)).unwrap();
    assert_eq!(archive.by_name("main.py").unwrap().unix_mode().map(|mode| mode & 0o777), Some(0o755));
}

#[test]
fn what_no_package_wants_is_left_out() {
    let folder = mk_folder();
    for name in [".git/HEAD", "node_modules/x/i.js", "lib/__pycache__/a.pyc", "target/x", ".DS_Store", "data/plugd.db"]
    {
        write(folder.path(), name, "x");
    }
    symlink("/etc/hostname", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("folder-link")).unwrap();
    let package = Package::of_folder(folder.path(), &[folder.path().join("lib/../data")]).unwrap();
    assert_eq!(names(&package), ["lib/a.py", "lib/b.py", "main.py", MANIFEST]);
}

#[test]
fn a_folder_without_a_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let failure = Package::read(folder.path()).unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.what.contains("no manifest.json"), "{failure}");
}

#[test]
fn an_archive_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.zip", "bytes");
    assert_eq!(Package::read(&folder.path().join("p.zip")).unwrap().bytes, b"bytes");
    let failure = Package::read(&folder.path().join("absent.zip")).unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
}
