//! What a disk that hangs, a store that is away and a caller who leaves do to packages, and to whom not.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

use super::{
    shop::{Hang, Shop, archive, archive_of, eventually, version},
    world::*,
};
use crate::domain::{Reason, package::digest_of};

/// Longer than anything may take.
const HANG: Duration = Duration::from_secs(3600);

/// Lets a call begin and hang; gives what is waited for meanwhile.
async fn meanwhile<T>(call: impl Future<Output = impl Sized>, hang: &Hang, others: impl Future<Output = T>) -> T {
    let others = async {
        eventually(|| hang.is_hanging()).await;
        others.await
    };
    tokio::select! {
        _ = call => panic!("what hangs has ended"),
        done = timeout(HANG, others) => done.expect("the others don't wait for what hangs"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_package_that_can_not_be_written_is_in_nobodys_way_and_its_caller_is_told() {
    let shop = Shop::new(Behaviour::Connects).await;
    let other = shop.library.install(archive_of("other", "1")).await.unwrap();
    let release = shop.shelf.putting.next();
    let mut hung = Box::pin(shop.update(archive("2")));
    let others = async {
        for version in ["2", "3", "4"] {
            let committed = shop.library.update(other.id, archive_of("other", version), "test").await.unwrap();
            shop.library.wait_settled(committed, WAIT).await.unwrap();
        }
        shop.library.roll_back(other.id, "test", WAIT).await.unwrap();
        shop.library.install(archive_of("third", "1")).await.unwrap();
        shop.keeps(4).await;
    };
    meanwhile(&mut hung, &shop.shelf.putting, others).await;
    assert_eq!(timeout(HANG, hung).await.unwrap().unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!(version(&shop.get()), "1");
    drop(release);
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_written_too_late_is_not_kept() {
    let shop = Shop::new(Behaviour::Connects).await;
    let release = shop.shelf.putting.next();
    shop.update(archive("2")).await.unwrap_err();
    release.send(()).unwrap();
    eventually(|| !shop.shelf.putting.is_hanging()).await;
    shop.keeps(1).await;
    assert_eq!(shop.library.download(shop.plugin.id).await.unwrap().1, archive("1"));
    shop.update(archive("2")).await.unwrap();
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_bytes_that_do_not_come_is_told() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let busy = shop.shelf.counter.lock().await;
    let rolled_back = timeout(HANG, shop.roll_back()).await.unwrap().unwrap_err();
    let downloaded = timeout(HANG, shop.library.download(shop.plugin.id)).await.unwrap().unwrap_err();
    assert_eq!([rolled_back.reason, downloaded.reason], [Reason::StoreUnavailable; 2]);
    drop(busy);
    assert_eq!(version(&shop.roll_back().await.unwrap()), "1");
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_is_not_taken_in_while_it_is_being_deleted() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let release = shop.shelf.deleting.next();
    // The second never ran, so the way back leads to the first.
    shop.update(archive("3")).await.unwrap();
    eventually(|| shop.shelf.deleting.is_hanging()).await;
    let refused = timeout(HANG, shop.library.install(archive("2"))).await.unwrap().unwrap_err();
    assert_eq!(refused.reason, Reason::TooBusy);
    shop.library.install(archive_of("other", "1")).await.unwrap();
    release.send(()).unwrap();
    let again = shop.library.install(archive("2")).await.unwrap();
    assert_eq!(shop.library.download(again.id).await.unwrap().1, archive("2"));
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_sent_no_packages() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.world.ledger.is_away.store(true, Ordering::SeqCst);
    let installed = shop.library.install(archive_of("other", "1")).await.unwrap_err();
    let updated = shop.update(archive("2")).await.unwrap_err();
    assert_eq!([installed.reason, updated.reason], [Reason::StoreUnavailable; 2]);
    assert_eq!(shop.shelf.putting.calls.load(Ordering::SeqCst), 1, "the one of the first installation");
    shop.world.ledger.is_away.store(false, Ordering::SeqCst);
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_leaves_no_package() {
    let shop = Shop::new(Behaviour::Connects).await;
    let release = shop.shelf.putting.next();
    let update = shop.update(archive("2"));
    let deletion = async {
        eventually(|| shop.shelf.putting.is_hanging()).await;
        shop.world.handle.delete(shop.plugin.id, None).await.unwrap();
        release.send(()).unwrap();
    };
    let (updated, ()) = tokio::join!(update, deletion);
    assert_eq!(updated.unwrap_err().reason, Reason::PluginNotFound);
    shop.library.discard(&shop.plugin.desired);
    shop.keeps(0).await;
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_installation_leaves_goes_when_the_store_is_back() {
    let shop = Shop::new(Behaviour::Connects).await;
    let release = shop.shelf.putting.next();
    let outage = async {
        eventually(|| shop.shelf.putting.is_hanging()).await;
        shop.world.ledger.is_away.store(true, Ordering::SeqCst);
        release.send(()).unwrap();
    };
    let (installed, ()) = tokio::join!(shop.library.install(archive_of("other", "1")), outage);
    assert_eq!(installed.unwrap_err().reason, Reason::StoreUnavailable);
    shop.library.sweep(|_| true).await;
    assert_eq!(shop.kept(), 2, "the commit may have been made after all");
    shop.world.ledger.is_away.store(false, Ordering::SeqCst);
    shop.library.install(archive_of("third", "1")).await.unwrap();
    shop.keeps(2).await;
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_was_committed_after_all_is_kept() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.world.ledger.is_uncertain.store(true, Ordering::SeqCst);
    shop.update(archive("2")).await.unwrap_err();
    shop.world.ledger.is_uncertain.store(false, Ordering::SeqCst);
    shop.library.sweep(|_| true).await;
    assert_eq!(version(&shop.get()), "2");
    assert_eq!(shop.library.download(shop.plugin.id).await.unwrap().1, archive("2"));
    assert_eq!(shop.kept(), 2);
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_goes_on_when_its_caller_leaves() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let release = shop.shelf.putting.next();
    let call = shop.library.update(shop.plugin.id, archive("3"), "test");
    meanwhile(call, &shop.shelf.putting, async {}).await;
    release.send(()).unwrap();
    eventually(|| version(&shop.get()) == "3").await;
    shop.keeps(2).await;
    shop.world.shut_down().await;
}

/// kill -9 in the middle of an upload or a deletion leaves one.
#[tokio::test(start_paused = true)]
async fn a_package_that_nobody_refers_to_is_swept_when_it_is_due_and_no_other() {
    let shop = Shop::new(Behaviour::Connects).await;
    shop.update(archive("2")).await.unwrap();
    let orphan = archive_of("orphan", "1");
    shop.shelf.hold(digest_of(&orphan), orphan);
    shop.library.sweep(|stored| stored > SystemTime::UNIX_EPOCH).await;
    assert_eq!(shop.kept(), 3, "none is due");
    shop.world.ledger.is_away.store(true, Ordering::SeqCst);
    shop.library.sweep(|_| true).await;
    assert_eq!(shop.kept(), 3, "nobody can tell");
    shop.world.ledger.is_away.store(false, Ordering::SeqCst);
    shop.library.sweep(|_| true).await;
    assert_eq!(shop.kept(), 2);
    assert_eq!(version(&shop.roll_back().await.unwrap()), "1");
    shop.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_package_that_is_being_taken_in_is_not_swept() {
    let shop = Shop::new(Behaviour::Connects).await;
    let release = shop.shelf.putting.next();
    let other = archive_of("other", "1");
    let upload = shop.library.install(other.clone());
    let sweep = async {
        eventually(|| shop.shelf.putting.is_hanging()).await;
        // As if its bytes were there already, for the commit to follow.
        shop.shelf.hold(digest_of(&other), other.clone());
        shop.library.sweep(|_| true).await;
        assert_eq!(shop.kept(), 2);
        release.send(()).unwrap();
    };
    let (installed, ()) = tokio::join!(upload, sweep);
    assert_eq!(shop.library.download(installed.unwrap().id).await.unwrap().1, other);
    shop.world.shut_down().await;
}
