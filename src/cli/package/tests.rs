use std::os::unix::fs::{PermissionsExt, symlink};

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

fn read(path: &Path) -> Result<Package, Failure> {
    Package::read(path, &ManifestArg::default())
}

fn manifest_of(package: &Package) -> Value {
    let mut archive = ZipArchive::new(Cursor::new(&package.bytes)).unwrap();
    let manifest = archive.by_index(0).unwrap();
    assert_eq!(manifest.name().unwrap(), MANIFEST);
    serde_json::from_reader(manifest).unwrap()
}

fn names(package: &Package) -> Vec<String> {
    let archive = ZipArchive::new(Cursor::new(package.bytes.clone())).unwrap();
    (0..archive.len()).map(|index| archive.name_for_index(index).unwrap().unwrap().into_owned()).collect()
}

#[test]
fn a_folder_becomes_a_package_in_order_of_names() {
    let folder = mk_folder();
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package), [MANIFEST, "lib/a.py", "lib/b.py", "main.py"]);
}

#[test]
fn the_same_files_make_the_same_package_wherever_they_are() {
    let (one, other) = (mk_folder(), mk_folder());
    assert_eq!(read(one.path()).unwrap(), read(other.path()).unwrap());
    write(other.path(), "main.py", "print(1)");
    assert_ne!(read(one.path()).unwrap().digest, read(other.path()).unwrap().digest);
}

#[test]
fn permissions_are_kept() {
    let folder = mk_folder();
    let script = folder.path().join("main.py");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let package = read(folder.path()).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(package.bytes)).unwrap();
    assert_eq!(archive.by_name("main.py").unwrap().unix_mode().map(|mode| mode & 0o777), Some(0o755));
}

#[test]
fn what_no_package_wants_is_left_out() {
    let folder = mk_folder();
    for name in [
        ".git/HEAD",
        "node_modules/x/i.js",
        "lib/__pycache__/a.pyc",
        "target/x",
        ".DS_Store",
        "data/plugd.db",
        "lib/out.zip",
    ] {
        write(folder.path(), name, "x");
    }
    symlink("/etc/hostname", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("folder-link")).unwrap();
    let except = [folder.path().join("lib/../data"), folder.path().join("lib/out.zip")];
    let package = Package::of_folder(&Folder { dir: folder.path(), manifest: None, except: &except }).unwrap();
    assert_eq!(names(&package), [MANIFEST, "lib/a.py", "lib/b.py", "main.py"]);
}

#[test]
fn a_folder_without_a_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let failure = read(folder.path()).unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.what.contains("no manifest.json"), "{failure}");
}

#[test]
fn the_manifest_comes_first_so_that_no_other_of_its_name_is_taken_for_it() {
    let folder = mk_folder();
    write(folder.path(), "assets/manifest.json", r#"{"id": "other"}"#);
    write(folder.path(), MANIFEST, r#"{"id": "mine"}"#);
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package)[..2], [MANIFEST, "assets/manifest.json"]);
    assert_eq!(super::manifest_in(&package.bytes).unwrap()["id"], "mine");
}

#[test]
fn a_manifest_in_yaml_becomes_json_in_the_package() {
    let folder = mk_folder();
    fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let yaml = "# mine\nid: mine\nname: 'My: own'\nargs:\n  - main.py\nversion: 0.1.0\naccess: {permissions: [A]}\n";
    write(folder.path(), "manifest.yaml", yaml);
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package), [MANIFEST, "lib/a.py", "lib/b.py", "main.py"]);
    let expected = serde_json::json!({
        "id": "mine", "name": "My: own", "args": ["main.py"], "version": "0.1.0", "access": {"permissions": ["A"]},
    });
    assert_eq!(manifest_of(&package), expected);
}

#[test]
fn two_manifests_that_differ_are_refused_until_one_is_named() {
    let folder = mk_folder();
    write(folder.path(), "manifest.yaml", "{}");
    read(folder.path()).unwrap();
    write(folder.path(), "manifest.yaml", "id: other");
    assert_eq!(read(folder.path()).unwrap_err().exit, Exit::Conflict);
    let named = ManifestArg { manifest: Some(folder.path().join("manifest.yaml")) };
    assert_eq!(manifest_of(&Package::read(folder.path(), &named).unwrap()), serde_json::json!({"id": "other"}));
}

#[test]
fn a_manifest_that_can_not_be_read_is_told_with_its_place() {
    for (name, text) in [(MANIFEST, "{\n  id"), ("manifest.yaml", "id: [\n"), (MANIFEST, "[]")] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, text);
        let failure = read(folder.path()).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused, "{text}");
        assert!(failure.what.contains(name) && failure.what.contains("no manifest: "), "{failure}");
    }
}

#[test]
fn the_package_that_was_made_in_the_folder_is_no_part_of_it() {
    let folder = mk_folder();
    write(folder.path(), MANIFEST, r#"{"id": "mine"}"#);
    let package = read(folder.path()).unwrap();
    write(folder.path(), "mine.zip", "x");
    assert_eq!(read(folder.path()).unwrap(), package);
}

#[test]
fn an_archive_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.zip", "bytes");
    assert_eq!(read(&folder.path().join("p.zip")).unwrap().bytes, b"bytes");
    let failure = read(&folder.path().join("absent.zip")).unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
}

#[test]
fn a_manifest_may_have_a_byte_order_mark() {
    for name in ["manifest.json", "manifest.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, "\u{feff}{\"id\": \"mine\"}\r\n");
        let package = read(folder.path()).unwrap();
        assert_eq!((package.manifest_id(), manifest_of(&package)["id"].as_str()), (Some("mine"), Some("mine")));
    }
}

#[test]
fn the_manifest_of_an_archive_may_have_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = zip::ZipWriter::new(fs::File::create(folder.path().join("package.zip")).unwrap());
    archive.start_file(MANIFEST, zip::write::SimpleFileOptions::default()).unwrap();
    io::Write::write_all(&mut archive, "\u{feff}{\"id\": \"mine\"}".as_bytes()).unwrap();
    archive.finish().unwrap();
    assert_eq!(read(&folder.path().join("package.zip")).unwrap().manifest_id(), Some("mine"));
}

#[test]
fn what_is_no_archive_is_named_and_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.zip");
    fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    let failure = read(&path).unwrap_err();
    assert!(failure.what.contains("package.zip: it has more than 52428800 bytes"), "{}", failure.what);
    assert_eq!(failure.exit, crate::cli::failure::Exit::Refused);
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(read(&path).unwrap_err().what.ends_with("package.zip: it is a named pipe, not a file"));
}
