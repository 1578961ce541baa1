//! Packages, which a server has for every plugd that uses it.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use bytes::Bytes;
use sea_orm::ConnectionTrait;

use super::*;
use crate::{
    domain::package::digest_of,
    store::transfer::{Blank, Standing},
};

/// A database, and the packages of it that its owner has in a folder of its own.
struct Owner {
    place: Place,
    packages: PackageStore,
    id: String,
    opened: Opened,
    folder: TempDir,
}

impl Owner {
    async fn of(place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (opened, loaded) = open(place.options(10)).await.unwrap();
        let packages = opened.packages(folder.path(), &loaded.database_id).await.unwrap();
        Self { place, packages, id: loaded.database_id, opened, folder }
    }

    async fn new() -> Self {
        Self::of(Place::server().await).await
    }

    /// Another plugd's, with an empty folder.
    async fn elsewhere(&self) -> (PackageStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (self.at(folder.path(), "").await, folder)
    }

    async fn at(&self, folder: &Path, owner: &str) -> PackageStore {
        PackageStore::of(&self.place.address(), folder, &self.id, owner).await.unwrap()
    }

    async fn put(&self, bytes: &Bytes) -> Digest {
        let digest = digest_of(bytes);
        drop(self.packages.put(digest, bytes.clone()).await.unwrap());
        digest
    }

    /// Has the database do this.
    async fn run(&self, sql: &str) {
        self.place.connection().await.execute_unprepared(sql).await.unwrap();
    }

    /// As if everything in the database had been stored two hours ago.
    async fn age(&self) {
        self.run("UPDATE package SET stored = stored - interval '2 hours'").await;
    }

    async fn sweep(&self, age: Duration, needed: &[Digest]) {
        let needed: HashSet<_> = needed.iter().copied().collect();
        self.packages.sweep(age, || Some(needed)).await;
    }

    /// Whether another plugd finds it.
    async fn has(&self, digest: Digest) -> bool {
        match self.elsewhere().await.0.get(digest).await {
            Ok(bytes) => digest_of(&bytes) == digest,
            Err(error) => {
                assert_eq!(error.reason, Reason::PackageNotFound);
                false
            }
        }
    }
}

fn mk_bytes(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn reads(packages: &PackageStore) -> usize {
    packages.rows().reads.load(Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_of_any_length_is_there_for_another_plugd_which_keeps_a_copy() {
    let owner = Owner::new().await;
    for length in [0, 1, 1 << 20, (1 << 20) + 1, 5 << 19] {
        let bytes = mk_bytes(length);
        let digest = owner.put(&bytes).await;
        let (packages, _folder) = owner.elsewhere().await;
        for _ in 0..2 {
            assert!(packages.get(digest).await.unwrap() == bytes, "{length}");
            assert_eq!(reads(&packages), 1);
        }
        assert!(owner.packages.get(digest).await.unwrap() == bytes);
    }
    assert_eq!(reads(&owner.packages), 0, "the owner has written copies");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_need_a_package_at_once_fetch_it_once() {
    let owner = Owner::new().await;
    let digest = owner.put(&mk_bytes(3 << 20)).await;
    let (packages, _folder) = owner.elsewhere().await;
    let found = tokio::join!(packages.get(digest), packages.get(digest), packages.get(digest));
    assert!(found.0.is_ok() && found.1.is_ok() && found.2.is_ok());
    assert_eq!(reads(&packages), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_no_longer_the_same_is_fetched_again() {
    let owner = Owner::new().await;
    let bytes = mk_bytes(10);
    let digest = owner.put(&bytes).await;
    let copy = owner.folder.path().join(&owner.id).join(digest.to_string().replace(':', "-"));
    std::fs::write(&copy, "rotten").unwrap();
    assert_eq!(owner.packages.get(digest).await.unwrap(), bytes);
    assert_eq!(std::fs::read(copy).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_has_of_another_digest_is_refused() {
    let owner = Owner::new().await;
    let digest = owner.put(&mk_bytes(10)).await;
    owner.run("UPDATE package_piece SET data = 'rotten'").await;
    let (packages, folder) = owner.elsewhere().await;
    let error = packages.get(digest).await.unwrap_err();
    assert_eq!(error.reason, Reason::Internal);
    assert!(error.message.contains("in the database has the digest"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path().join(&owner.id)).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_deletes_what_nobody_needs_and_spares_what_is_needed_or_young() {
    let owner = Owner::new().await;
    let hour = Duration::from_secs(3600);
    let [needed, old, again] = [1, 2, 3].map(mk_bytes);
    let [needed, old] = [owner.put(&needed).await, owner.put(&old).await];
    owner.put(&again).await;
    owner.age().await;
    // Which makes it young.
    let again = owner.put(&again).await;
    let young = owner.put(&mk_bytes(4)).await;
    owner.sweep(hour, &[needed]).await;
    for (digest, is_there) in [(needed, true), (old, false), (again, true), (young, true)] {
        assert_eq!(owner.has(digest).await, is_there, "{digest}");
    }
    owner.sweep(Duration::ZERO, &[needed]).await;
    assert!(owner.has(needed).await && !owner.has(again).await);
    assert_eq!(owner.packages.get(again).await.unwrap_err().reason, Reason::PackageNotFound);
}

/// Between the look at the database and the deletion it was uploaded again, and a plugin refers to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_was_stored_again_is_not_deleted() {
    let owner = Owner::new().await;
    let (hour, bytes) = (Duration::from_secs(3600), mk_bytes(10));
    let digest = owner.put(&bytes).await;
    owner.age().await;
    let rows = owner.packages.rows();
    assert_eq!(rows.old(hour).await.unwrap(), [digest]);
    owner.put(&bytes).await;
    rows.delete(&[digest], hour, owner.opened.start.lease.owner()).await.unwrap();
    assert!(owner.has(digest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_of_the_lease_deletes() {
    let owner = Owner::new().await;
    let digest = owner.put(&mk_bytes(10)).await;
    for other in ["", "cl0000000000000000og"] {
        let packages = owner.at(owner.folder.path(), other).await;
        packages.sweep(Duration::ZERO, || Some(HashSet::new())).await;
        assert!(owner.has(digest).await, "{other:?}");
    }
    owner.sweep(Duration::ZERO, &[]).await;
    assert!(!owner.has(digest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_stored_in_the_database_or_not_at_all() {
    let owner = Owner::new().await;
    let Place::Server(database) = &owner.place else { panic!("a server") };
    database.lock_out().await;
    let bytes = mk_bytes(10);
    let refused = owner.packages.put(digest_of(&bytes), bytes.clone()).await.err().unwrap();
    assert_eq!(refused, unavailable());
    database.let_in().await;
    let digest = owner.put(&bytes).await;
    assert!(owner.has(digest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_go_into_an_empty_database_with_its_records_or_not_at_all() {
    let place = Place::server().await;
    let standing = Standing { revision: 0, compacted: 0, schema: crate::store::migration::known() };
    let bytes = mk_bytes(10);
    let digest = digest_of(&bytes);
    let mut given_up = Blank::open(place.address(), &standing).await.unwrap();
    assert!(given_up.add_package(digest, &bytes).await.unwrap());
    drop(given_up);
    Blank::open(place.address(), &standing).await.unwrap().finish().await.unwrap();
    assert!(!Owner::of(place).await.has(digest).await);

    let place = Place::server().await;
    let mut blank = Blank::open(place.address(), &standing).await.unwrap();
    blank.add_package(digest, &bytes).await.unwrap();
    blank.finish().await.unwrap();
    assert!(Owner::of(place).await.has(digest).await);
}
