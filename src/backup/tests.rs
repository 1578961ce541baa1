use std::{
    fs,
    io::Cursor,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tempfile::TempDir;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    domain::{Desired, Plugin, PreviousPackage, package::digest_of},
    store::{
        self, Address, Options, PackageStore,
        tests::{mk_plugin, mk_token},
    },
};

const PACKAGES: [&[u8]; 2] = [b"the package", b"the package before"];

/// The data folder of a plugd that has a plugin, with a backup of it.
struct Fixture {
    folder: TempDir,
    contents: Contents,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { address: database(folder.path()), journal_keep: 10, audit_keep: 10 };
        let (opened, loaded) = store::open(options).await.unwrap();
        let packages = PackageStore::open(&packages(folder.path()), &loaded.database_id).await.unwrap();
        let [package, previous] = PACKAGES.map(digest_of);
        for (digest, bytes) in [package, previous].into_iter().zip(PACKAGES) {
            packages.put(digest, Bytes::from_static(bytes)).await.unwrap();
        }
        let plugin = mk_plugin(1);
        let previous = plugin.desired.previous_package.map(|before| PreviousPackage { digest: previous, ..before });
        let desired = Desired { package: Some(package), previous_package: previous, ..plugin.desired };
        let store = opened.start(Box::new(|_| {}));
        store.install(Plugin { desired, ..plugin }).await.unwrap();
        store.create_token(mk_token(1)).await.unwrap();
        let (address, file) = (database(folder.path()), file(folder.path()));
        let contents = write(&address, &self::packages(folder.path()), &file, false).await.unwrap();
        store.close().await.unwrap();
        Self { folder, contents }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self) -> PathBuf {
        file(self.path())
    }

    async fn write(&self, file: &Path, may_replace: bool) -> anyhow::Result<Contents> {
        write(&database(self.path()), &packages(self.path()), file, may_replace).await
    }

    /// The error for a backup of these bytes.
    fn refusal(&self, bytes: &[u8]) -> Option<String> {
        let file = self.path().join("altered");
        fs::write(&file, bytes).unwrap();
        match Backup::open(&file) {
            Ok(backup) => {
                assert_eq!(backup.contents, self.contents);
                None
            }
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// The backup with another manifest, which fits its digest.
    fn with_manifest(&self, alter: impl Fn(&mut serde_json::Value)) -> Vec<u8> {
        let mut from = ZipArchive::new(fs::File::open(self.file()).unwrap()).unwrap();
        let mut manifest = serde_json::to_value(&self.contents).unwrap();
        alter(&mut manifest);
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let mut to = ZipWriter::new(Cursor::new(Vec::new()));
        for index in 0..from.len() {
            let entry = from.by_index(index).unwrap();
            if entry.name().unwrap() != MANIFEST {
                to.raw_copy_file(entry).unwrap();
            }
        }
        to.start_file(MANIFEST, SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut to, &manifest).unwrap();
        to.set_comment(digest_of(&manifest).to_string()).unwrap();
        to.finish().unwrap().into_inner()
    }
}

fn database(folder: &Path) -> Address {
    Address::file(&folder.join("plugd.db")).unwrap()
}

fn packages(folder: &Path) -> PathBuf {
    folder.join("packages")
}

fn file(folder: &Path) -> PathBuf {
    folder.join("plugd.backup")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_restored_is_what_was_backed_up() {
    let fixture = Fixture::new().await;
    assert_eq!((fixture.contents.plugins(), fixture.contents.packages.len()), (1, 2));
    let other = tempfile::tempdir().unwrap();
    let mut backup = Backup::open(&fixture.file()).unwrap();
    restore(&mut backup, database(other.path()), &packages(other.path())).await.unwrap();
    let again = write(&database(other.path()), &packages(other.path()), &file(other.path()), false).await.unwrap();
    assert_eq!(again, Contents { time: again.time, ..fixture.contents.clone() });
    assert_ne!(names(&packages(other.path())), names(&packages(fixture.path())), "it is another database");
}

#[tokio::test]
async fn a_backup_is_for_its_owner_and_replaces_nothing_unless_it_may() {
    let fixture = Fixture::new().await;
    let mode = fs::metadata(fixture.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (before, there) = (fs::read(fixture.file()).unwrap(), names(fixture.path()));
    assert!(fixture.write(&fixture.file(), false).await.is_err());
    assert_eq!((fs::read(fixture.file()).unwrap(), names(fixture.path())), (before.clone(), there.clone()));
    fixture.write(&fixture.file(), true).await.unwrap();
    assert_ne!(fs::read(fixture.file()).unwrap(), before, "the time is another");
    assert_eq!(names(fixture.path()), there);
}

#[tokio::test]
async fn a_backup_that_was_cut_short_or_altered_is_refused() {
    let fixture = Fixture::new().await;
    let whole = fs::read(fixture.file()).unwrap();
    assert_eq!(fixture.refusal(&whole), None);
    for length in (0..whole.len()).step_by(11) {
        assert!(fixture.refusal(&whole[..length]).is_some(), "{length} bytes of {}", whole.len());
    }
    let mut harmless = 0;
    for index in (0..whole.len()).step_by(3) {
        let mut altered = whole.clone();
        altered[index] ^= 1 << (index % 8);
        // What is not refused is as it was: times and modes in the archive mean nothing.
        harmless += usize::from(fixture.refusal(&altered).is_none());
    }
    assert!(harmless < whole.len() / 6, "{harmless} of {}", whole.len());
}

#[tokio::test]
async fn what_contradicts_its_manifest_is_refused() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.refusal(&fixture.with_manifest(|_| {})), None);
    let refusal = |alter: &dyn Fn(&mut serde_json::Value)| fixture.refusal(&fixture.with_manifest(alter)).unwrap();
    let package = digest_of(PACKAGES[0]).to_string();
    assert!(refusal(&|manifest| manifest["format"] = 2.into()).contains("a newer plugd wrote it"));
    let schema = |manifest: &mut serde_json::Value| manifest["standing"]["schema"] = serde_json::json!(["m0002_later"]);
    assert!(refusal(&schema).contains("another version of plugd"));
    assert!(refusal(&|manifest| manifest["tables"]["plugin"]["count"] = 2.into()).contains("the rows of plugin"));
    assert!(refusal(&|manifest| manifest["packages"][&package] = 1.into()).contains(&package));
    let lacking =
        |manifest: &mut serde_json::Value| drop(manifest["tables"].as_object_mut().unwrap().remove("journal"));
    assert!(refusal(&lacking).contains("a table is missing"));
    assert!(fixture.refusal(b"not a backup").unwrap().contains("is no backup of plugd's"));
}

#[tokio::test]
async fn a_package_that_is_missing_is_named_and_no_backup_is_left() {
    let fixture = Fixture::new().await;
    let folder = packages(fixture.path()).join(&names(&packages(fixture.path()))[0]);
    let digest = digest_of(PACKAGES[0]).to_string();
    fs::remove_file(folder.join(digest.replace(':', "-"))).unwrap();
    let there = names(fixture.path());
    let error = fixture.write(&fixture.path().join("another"), false).await.unwrap_err();
    assert!(format!("{error:#}").contains(&digest), "{error:#}");
    assert_eq!(names(fixture.path()), there);
}

#[tokio::test]
async fn a_database_that_has_records_is_left_with_its_packages() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    let there = names(&packages(other.path()));
    let mut backup = Backup::open(&fixture.file()).unwrap();
    let error = restore(&mut backup, database(other.path()), &packages(other.path())).await.unwrap_err();
    assert!(format!("{error:#}").contains("it has records already"), "{error:#}");
    assert_eq!(names(&packages(other.path())), there);
    let error =
        migrate(&database(fixture.path()), database(other.path()), &packages(fixture.path())).await.unwrap_err();
    assert!(format!("{error:#}").contains("it has records already"), "{error:#}");
}

#[tokio::test]
async fn what_is_moved_is_all_there_and_stays_where_it_was() {
    let fixture = Fixture::new().await;
    let to = Address::file(&fixture.path().join("other.db")).unwrap();
    let moved = migrate(&database(fixture.path()), to.clone(), &packages(fixture.path())).await.unwrap();
    let revision = fixture.contents.standing.revision;
    assert_eq!(moved, Moved { plugins: 1, packages: 2, revision });
    for address in [to, database(fixture.path())] {
        let contents = write(&address, &packages(fixture.path()), &fixture.file(), true).await.unwrap();
        assert_eq!(contents, Contents { time: contents.time, ..fixture.contents.clone() });
    }
    assert_eq!(names(&packages(fixture.path())).len(), 2, "each database has packages of its own");
}
