use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::{domain::Reason, store::packages::Packages};

fn mk_package(text: &'static str) -> (Digest, Bytes) {
    (Digest(Sha256::digest(text).into()), Bytes::from_static(text.as_bytes()))
}

/// The only package of the folder.
fn only_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| !file.ends_with("owners")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[tokio::test]
async fn a_package_is_read_back_until_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = mk_package("archive");
    let packages = Packages::open(&folder.path().join("data/packages"), "epoch", false).await.unwrap();
    for _ in 0..2 {
        packages.put(digest, bytes.clone()).await.unwrap();
    }
    let packages = Packages::open(&folder.path().join("data/packages"), "epoch", false).await.unwrap();
    assert_eq!(packages.get(digest).await.unwrap(), bytes);
    for _ in 0..2 {
        packages.delete(digest).await.unwrap();
    }
    let error = packages.get(digest).await.unwrap_err();
    assert_eq!((error.reason, &error.metadata["package_digest"]), (Reason::PackageNotFound, &digest.to_string()));
}

#[tokio::test]
async fn bytes_of_another_digest_are_neither_stored_nor_served() {
    let folder = tempfile::tempdir().unwrap();
    let packages = Packages::open(folder.path(), "epoch", false).await.unwrap();
    let (digest, bytes) = mk_package("archive");
    let error = packages.put(digest, Bytes::from_static(b"else")).await.unwrap_err();
    assert_eq!(error.reason, Reason::Internal);
    assert_eq!(packages.get(digest).await.unwrap_err().reason, Reason::PackageNotFound);
    packages.put(digest, bytes).await.unwrap();
    std::fs::write(only_file(folder.path()), "rotten").unwrap();
    let error = packages.get(digest).await.unwrap_err();
    assert_eq!(error.reason, Reason::Internal);
    assert!(error.message.contains("in the store has the digest"), "{error}");
}

#[tokio::test]
async fn one_package_is_deleted_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let packages = Packages::open(folder.path(), "epoch", false).await.unwrap();
    let all = ["one", "two"].map(mk_package);
    for (digest, bytes) in all.clone() {
        packages.put(digest, bytes).await.unwrap();
    }
    packages.delete(all[0].0).await.unwrap();
    assert_eq!(packages.get(all[0].0).await.unwrap_err().reason, Reason::PackageNotFound);
    assert_eq!(packages.get(all[1].0).await.unwrap(), all[1].1);
}

#[tokio::test]
async fn what_a_crash_has_left_half_written_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let packages = Packages::open(folder.path(), "epoch", false).await.unwrap();
    let (digest, bytes) = mk_package("archive");
    packages.put(digest, bytes).await.unwrap();
    let package = only_file(folder.path());
    let half = format!("{}#1", package.display());
    std::fs::write(&half, "arch").unwrap();
    Packages::open(folder.path(), "epoch", false).await.unwrap();
    assert_eq!(only_file(folder.path()), package);
}

#[tokio::test]
async fn all_packages_are_listed_with_the_time_of_their_storing() {
    let folder = tempfile::tempdir().unwrap();
    let packages = Packages::open(folder.path(), "epoch", false).await.unwrap();
    std::fs::write(folder.path().join("README"), "not ours").unwrap();
    assert_eq!(packages.list().await.unwrap(), []);
    let (digest, bytes) = mk_package("archive");
    packages.put(digest, bytes).await.unwrap();
    let stored =
        std::fs::metadata(folder.path().join(digest.to_string().replace(':', "-"))).unwrap().modified().unwrap();
    assert_eq!(packages.list().await.unwrap(), [(digest, stored)]);
}

#[tokio::test]
async fn where_another_database_has_packages_none_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (digest, bytes) = mk_package("of both");
    let first = Packages::open(folder.path(), "first", false).await.unwrap();
    let second = Packages::open(folder.path(), "second", false).await.unwrap();
    first.put(digest, bytes.clone()).await.unwrap();
    for packages in [&second, &first] {
        second.put(digest, bytes.clone()).await.unwrap();
        packages.delete(digest).await.unwrap();
        assert_eq!(first.get(digest).await.unwrap(), bytes);
    }
}
