use std::{
    io::Cursor,
    os::unix::fs::{PermissionsExt, symlink},
};

use zip::ZipArchive;

use super::*;
use crate::{cli::failure::Exit, domain::package::digest_of};

fn write(folder: &Path, name: &str, contents: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
}

const MINE: &str = r#"{"id": "mine", "author": "me", "name": "Mine", "command": "python3", "args": ["main.py"]}"#;

fn mk_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), MANIFEST, MINE);
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
    for (folder, mode) in [(&one, 0o644), (&other, 0o664)] {
        fs::set_permissions(folder.path().join("main.py"), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(read(one.path()).unwrap().bytes, read(other.path()).unwrap().bytes);
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
fn what_no_package_wants_is_left_out_and_told() {
    let folder = mk_folder();
    for name in [".git/HEAD", "lib/__pycache__/a.pyc", "target/x", ".DS_Store", "data/plugd.db", "lib/out.zip"] {
        write(folder.path(), name, "x");
    }
    symlink("/etc/hostname", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("folder-link")).unwrap();
    let except = [folder.path().join("lib/../data"), folder.path().join("lib/out.zip")];
    let package = Package::of_folder(&Folder { dir: folder.path(), manifest: None, except: &except }).unwrap();
    assert_eq!(names(&package), [MANIFEST, "lib/a.py", "lib/b.py", "main.py"]);
    assert_eq!(package.left_out, [".DS_Store", ".git", "lib/__pycache__", "target"]);
    let note = package.notes().pop().unwrap();
    assert!(note.starts_with("left out: .DS_Store, .git, lib/__pycache__, target; "), "{note}");
    assert!(note.contains("`!.DS_Store` to .plugdignore"), "{note}");
    assert!(
        matches!(&package.remarks[..], [links] if links.contains(": folder-link, link; put what they lead to")),
        "{:?}",
        package.remarks
    );
}

#[test]
fn the_authors_patterns_leave_out_more_and_bring_back() {
    let folder = mk_folder();
    for name in [".well-known/x", "src/main.ts", "src/.x.swp"] {
        write(folder.path(), name, "x");
    }
    write(folder.path(), PLUGDIGNORE, "*.ts\n!.well-known\n");
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package), [MANIFEST, ".well-known/x", "lib/a.py", "lib/b.py", "main.py"]);
    assert_eq!(package.left_out, ["src/.x.swp", "src/main.ts"]);
}

#[test]
fn node_modules_goes_in_without_its_programs_and_links_in_it_are_told() {
    let folder = mk_folder();
    for name in ["node_modules/a/index.js", "node_modules/.prisma/client.js", "node_modules/.package-lock.json"] {
        write(folder.path(), name, "x");
    }
    fs::create_dir(folder.path().join("node_modules/.bin")).unwrap();
    symlink("../a/index.js", folder.path().join("node_modules/.bin/a")).unwrap();
    let package = read(folder.path()).unwrap();
    let modules = ["node_modules/.package-lock.json", "node_modules/.prisma/client.js", "node_modules/a/index.js"];
    assert_eq!(names(&package)[4..], modules);
    assert_eq!((package.left_out, package.remarks), (vec!["node_modules/.bin".to_owned()], vec![]));

    symlink(".pnpm/b/node_modules/b", folder.path().join("node_modules/b")).unwrap();
    let package = read(folder.path()).unwrap();
    assert!(
        matches!(&package.remarks[..], [links] if links.contains(": node_modules/b; ") && links.contains("npm install"))
    );
}

#[test]
fn what_a_server_refuses_is_not_packaged() {
    let refused = |name: &str, contents: &str| {
        let folder = mk_folder();
        write(folder.path(), name, contents);
        read(folder.path()).unwrap_err()
    };
    let logs = refused("logs/output.log", "x");
    assert_eq!((logs.exit, logs.reason.as_deref()), (Exit::Refused, Some("INVALID_PACKAGE")));
    assert!(logs.what.contains("\"logs\" is where plugd writes the plugin's logs"), "{logs}");
    assert_eq!(refused(MANIFEST, r#"{"id": "no spaces"}"#).reason.as_deref(), Some("INVALID_MANIFEST"));
}

#[test]
fn a_folder_that_is_too_large_is_refused_before_it_is_compressed() {
    let folder = mk_folder();
    // Sparse: if it were read, it would be read for minutes.
    fs::File::create(folder.path().join("lib/huge")).unwrap().set_len(1 << 40).unwrap();
    let failure = read(folder.path()).unwrap_err();
    assert_eq!(failure.what, "lib/huge has 1.00 TiB, and a file of a package at most 50.00 MiB");
    write(folder.path(), PLUGDIGNORE, "huge");
    read(folder.path()).unwrap();
}

#[test]
fn an_archive_that_grows_too_large_is_given_up() {
    let home = mk_folder();
    let noise: String = (0..1000).map(|n| digest_of(&[n as u8, (n >> 8) as u8]).to_string()).collect();
    write(home.path(), "lib/noise", &noise);
    let folder = Folder { dir: home.path(), manifest: None, except: &[] };
    let (manifest, contents) = (ManifestFile::of_folder(home.path(), None).unwrap(), Contents::of(&folder).unwrap());
    let size = contents.zip(&manifest, u64::MAX).unwrap().len() as u64;
    contents.zip(&manifest, size).unwrap();
    for limit in [0, 10, 10_000, size - 1] {
        let failure = contents.zip(&manifest, limit).unwrap_err();
        assert!(failure.what.starts_with("compressed, the package has more than 50.00 MiB"), "{failure}");
    }
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
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package)[..2], [MANIFEST, "assets/manifest.json"]);
    assert_eq!(package.manifest_id(), "mine");
}

#[test]
fn a_manifest_in_yaml_becomes_json_in_the_package() {
    let folder = mk_folder();
    fs::remove_file(folder.path().join(MANIFEST)).unwrap();
    let yaml = "\u{feff}# mine\nid: mine\nauthor: me\nname: 'My: own'\nargs:\n  - main.py\nversion: 0.1.0\n\
                access: {permissions: [A]}\n";
    write(folder.path(), "manifest.yaml", yaml);
    let package = read(folder.path()).unwrap();
    assert_eq!(names(&package), [MANIFEST, "lib/a.py", "lib/b.py", "main.py"]);
    let expected = serde_json::json!({
        "id": "mine", "author": "me", "name": "My: own", "args": ["main.py"], "version": "0.1.0", "access": {"permissions": ["A"]},
    });
    assert_eq!(manifest_of(&package), expected);
}

#[test]
fn two_manifests_that_differ_are_refused_until_one_is_named() {
    let folder = mk_folder();
    write(folder.path(), "manifest.yaml", MINE);
    read(folder.path()).unwrap();
    write(folder.path(), "manifest.yaml", "id: other\nauthor: me\nname: Other\n");
    assert_eq!(read(folder.path()).unwrap_err().exit, Exit::Conflict);
    let named = ManifestArg { manifest: Some(folder.path().join("manifest.yaml")) };
    assert_eq!(
        manifest_of(&Package::read(folder.path(), &named).unwrap()),
        serde_json::json!({"id": "other", "author": "me", "name": "Other"})
    );
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
    let package = read(folder.path()).unwrap();
    write(folder.path(), "mine.zip", "x");
    assert_eq!(read(folder.path()).unwrap().digest, package.digest);
}

#[test]
fn an_archive_is_taken_as_it_is_unless_a_server_would_refuse_it() {
    let folder = mk_folder();
    let package = read(folder.path()).unwrap();
    fs::write(folder.path().join("p.zip"), &package.bytes).unwrap();
    assert_eq!(read(&folder.path().join("p.zip")).unwrap().bytes, package.bytes);
    write(folder.path(), "p.zip", "bytes");
    assert_eq!(read(&folder.path().join("p.zip")).unwrap_err().reason.as_deref(), Some("INVALID_PACKAGE"));
    let failure = read(&folder.path().join("absent.zip")).unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
}

#[test]
fn a_manifest_may_have_a_byte_order_mark() {
    for name in ["manifest.json", "manifest.yaml"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), name, &format!("\u{feff}{MINE}\r\n"));
        let package = read(folder.path()).unwrap();
        assert_eq!((package.manifest_id(), manifest_of(&package)["id"].as_str()), ("mine", Some("mine")));
    }
}

#[test]
fn the_manifest_of_an_archive_may_have_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = zip::ZipWriter::new(fs::File::create(folder.path().join("package.zip")).unwrap());
    archive.start_file(MANIFEST, zip::write::SimpleFileOptions::default()).unwrap();
    io::Write::write_all(&mut archive, format!("\u{feff}{MINE}").as_bytes()).unwrap();
    archive.finish().unwrap();
    assert_eq!(read(&folder.path().join("package.zip")).unwrap().manifest_id(), "mine");
}

#[test]
fn what_is_no_archive_is_named_and_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.zip");
    fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    let failure = read(&path).unwrap_err();
    assert!(failure.what.contains("package.zip has more than 50.00 MiB"), "{}", failure.what);
    assert_eq!(failure.exit, crate::cli::failure::Exit::Refused);
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(read(&path).unwrap_err().what.ends_with("package.zip: it is a named pipe, not a file"));
}
