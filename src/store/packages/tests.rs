use std::time::SystemTime;

use futures_util::FutureExt;
use tokio::{sync::oneshot, time};

use super::*;

/// Work on the disk that hangs until it is released, or this is dropped.
pub(crate) struct Hang {
    pub(crate) began: oneshot::Receiver<()>,
    pub(crate) release: oneshot::Sender<()>,
}

pub(super) struct Hanging {
    began: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

impl PackageStore {
    /// What the database has.
    pub(in crate::store) fn rows(&self) -> &PackageRows {
        self.shared.rows.as_ref().unwrap()
    }

    /// The next work on the disk hangs.
    pub(crate) fn hang_next(&self) -> Hang {
        let ((began, begins), (release, released)) = (oneshot::channel(), oneshot::channel());
        *self.shared.hang.lock().unwrap() = Some(Hanging { began, released });
        Hang { began: begins, release }
    }
}

impl Shared {
    pub(super) fn hang(&self) {
        let next = self.hang.lock().unwrap().take();
        if let Some(Hanging { began, released }) = next {
            began.send(()).unwrap_or_default();
            released.blocking_recv().unwrap_or_default();
        }
    }
}

fn mk_package(text: &'static str) -> (Digest, Bytes) {
    (digest_of(text.as_bytes()), Bytes::from_static(text.as_bytes()))
}

async fn mk_store(folder: &Path) -> PackageStore {
    PackageStore::open(folder, "database").await.unwrap()
}

async fn put(store: &PackageStore, (digest, bytes): &(Digest, Bytes)) {
    drop(store.put(*digest, bytes.clone()).await.unwrap());
}

async fn has(store: &PackageStore, (digest, bytes): &(Digest, Bytes)) -> bool {
    match store.get(*digest).await {
        Ok(found) => found == bytes,
        Err(error) => {
            assert_eq!(
                (error.reason, &error.metadata["package_digest"]),
                (Reason::PackageNotFound, &digest.to_string())
            );
            false
        }
    }
}

/// Deletes all that is not used at this moment.
async fn sweep(store: &PackageStore) {
    store.sweep(Duration::ZERO, || Some(HashSet::new())).await;
}

/// As if the file had been written so long ago.
fn age(path: &Path, age: Duration) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn a_package_is_read_back_after_a_restart_and_swept_when_nobody_needs_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data/packages");
    let package = mk_package("archive");
    let store = mk_store(&folder).await;
    for _ in 0..2 {
        put(&store, &package).await;
    }
    let store = mk_store(&folder).await;
    assert!(has(&store, &package).await);
    for _ in 0..2 {
        sweep(&store).await;
        assert!(!has(&store, &package).await);
    }
    put(&store, &package).await;
    assert!(has(&store, &package).await);
}

#[tokio::test]
async fn bytes_of_another_digest_are_neither_stored_nor_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = mk_store(folder.path()).await;
    let package @ (digest, _) = &mk_package("archive");
    let error = store.put(*digest, Bytes::from_static(b"else")).await.err().unwrap();
    assert_eq!(error.reason, Reason::Internal);
    assert!(!has(&store, package).await);
    put(&store, package).await;
    fs::write(path_in(&folder.path().join("database"), *digest), "rotten").unwrap();
    let error = store.get(*digest).await.unwrap_err();
    assert_eq!(error.reason, Reason::Internal);
    assert!(error.message.contains("in the store has the digest"), "{error}");
}

#[tokio::test]
async fn a_sweep_leaves_what_is_needed_what_is_young_and_what_is_not_plugds() {
    let home = tempfile::tempdir().unwrap();
    let store = mk_store(home.path()).await;
    let folder = home.path().join("database");
    let [needed, young, old] = ["needed", "young", "old"].map(mk_package);
    for package in [&needed, &young, &old] {
        put(&store, package).await;
    }
    let half_written = ["unfinished-1", "unfinished-2"].map(|name| folder.join(name));
    for path in half_written.iter().chain([&folder.join("README")]) {
        fs::write(path, "something").unwrap();
    }
    for path in [path_in(&folder, needed.0), path_in(&folder, old.0), half_written[0].clone(), folder.join("README")] {
        age(&path, GRACE);
    }
    store.sweep(GRACE, || Some(HashSet::from([needed.0]))).await;
    assert!(has(&store, &needed).await && has(&store, &young).await);
    assert!(!has(&store, &old).await);
    assert!(!half_written[0].exists() && half_written[1].exists(), "an upload may write to it");
    assert!(folder.join("README").exists());
}

#[tokio::test]
async fn nothing_is_swept_when_nobody_can_tell_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = mk_store(folder.path()).await;
    let package = mk_package("archive");
    put(&store, &package).await;
    store.sweep(Duration::ZERO, || None).await;
    assert!(has(&store, &package).await);
    put(&store, &package).await;
}

#[tokio::test]
async fn a_package_is_not_swept_before_its_last_upload_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = mk_store(folder.path()).await;
    let package @ (digest, bytes) = &mk_package("archive");
    let [first, second] = [store.put(*digest, bytes.clone()).await, store.put(*digest, bytes.clone()).await];
    for upload in [first, second] {
        sweep(&store).await;
        assert!(has(&store, package).await);
        drop(upload);
    }
    sweep(&store).await;
    assert!(!has(&store, package).await);
}

/// Between the look at the folder and the deletion it was uploaded again, and a plugin refers to it.
#[tokio::test]
async fn a_package_that_was_uploaded_again_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let store = mk_store(home.path()).await;
    let package @ (digest, _) = &mk_package("archive");
    put(&store, package).await;
    age(&path_in(&home.path().join("database"), *digest), GRACE);
    let old = list(&home.path().join("database"), GRACE).unwrap();
    assert_eq!(old, [*digest]);
    put(&store, package).await;
    let deletion = store.shared.uses.delete(old);
    delete(&deletion, &home.path().join("database"), GRACE);
    assert!(has(&store, package).await);
}

#[tokio::test]
async fn a_package_that_is_being_deleted_is_uploaded_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let store = mk_store(folder.path()).await;
    let [package @ (digest, bytes), other] = &["archive", "other"].map(mk_package);
    put(&store, package).await;
    let deletion = store.shared.uses.delete(vec![*digest]);
    put(&store, other).await;
    let mut upload = Box::pin(store.put(*digest, bytes.clone()));
    assert!(upload.as_mut().now_or_never().is_none());
    assert!(store.shared.uses.has_no_uploads(), "the deletion would take what it writes");
    fs::remove_file(path_in(&store.shared.folder, *digest)).unwrap();
    drop(deletion);
    let upload = upload.await;
    assert!(upload.is_ok() && has(&store, package).await);
}

#[tokio::test]
async fn databases_of_one_folder_delete_none_of_each_others_packages() {
    let folder = tempfile::tempdir().unwrap();
    let package = mk_package("of both");
    let [first, second] = ["first", "second"].map(|id| PackageStore::open(folder.path(), id));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    for store in [&first, &second] {
        put(store, &package).await;
    }
    sweep(&second).await;
    assert!(!has(&second, &package).await && has(&first, &package).await);
}

/// The clock stands still unless it is told to go on.
#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_told_of_in_time_and_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = mk_store(folder.path()).await;
    let [stored, late, other] = ["stored", "late", "other"].map(mk_package);
    put(&store, &stored).await;
    let hang = store.hang_next();
    let mut upload = Box::pin(store.put(late.0, late.1.clone()));
    tokio::select! {
        _ = &mut upload => panic!("the disk hangs"),
        began = hang.began => began.unwrap(),
    }
    put(&store, &other).await;
    sweep(&store).await;
    assert!(!has(&store, &other).await);
    time::advance(DISK_TIMEOUT).await;
    assert_eq!(upload.await.err().unwrap().reason, Reason::StoreUnavailable);

    let hang_of_reader = store.hang_next();
    let mut download = Box::pin(store.get(stored.0));
    tokio::select! {
        _ = &mut download => panic!("the disk hangs"),
        began = hang_of_reader.began => began.unwrap(),
    }
    time::advance(DISK_TIMEOUT).await;
    assert_eq!(download.await.unwrap_err().reason, Reason::StoreUnavailable);

    // What is written too late is kept while it is written, and swept after that.
    drop(hang.release);
    store.shared.uses.uploads_ended().await;
    assert!(has(&store, &late).await);
    sweep(&store).await;
    assert!(!has(&store, &late).await);
}

#[tokio::test]
async fn what_can_not_be_deleted_keeps_nothing_else_from_it() {
    let home = tempfile::tempdir().unwrap();
    let store = mk_store(home.path()).await;
    let folder = home.path().join("database");
    let packages = ["a", "b", "c", "d", "e", "f", "g", "h"].map(mk_package);
    for package in &packages {
        put(&store, package).await;
        fs::create_dir(path_in(&folder, digest_of(&[package.1.as_ref(), b" folder"].concat()))).unwrap();
    }
    fs::create_dir(folder.join("unfinished-folder")).unwrap();
    store.sweep(Duration::ZERO, || Some(HashSet::new())).await;
    for package in &packages {
        assert!(!has(&store, package).await);
    }
}

#[tokio::test]
async fn a_folder_that_somebody_has_deleted_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let store = mk_store(home.path()).await;
    fs::remove_dir_all(home.path().join("database")).unwrap();
    let package = mk_package("archive");
    put(&store, &package).await;
    assert!(has(&store, &package).await);
}

#[tokio::test]
async fn what_the_disk_refuses_is_said_by_its_kind() {
    let home = tempfile::tempdir().unwrap();
    let store = mk_store(home.path()).await;
    fs::remove_dir_all(home.path().join("database")).unwrap();
    fs::write(home.path().join("database"), "in its place").unwrap();
    let (digest, bytes) = mk_package("archive");
    let refused = store.put(digest, bytes).await.err().unwrap();
    assert_eq!(refused.reason, Reason::StoreUnavailable);
    assert!(refused.message.contains("not a directory"), "{refused}");
    assert!(!refused.message.contains(home.path().to_str().unwrap()), "{refused}");
}
