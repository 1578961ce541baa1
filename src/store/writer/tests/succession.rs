//! A plugd whose connection was cut and who comes back late, when another has started.

use sea_orm::{EntityTrait, sea_query::Expr};

use super::*;
use crate::store::{entity, lease::Lease, tokens};

/// Longer than any wait of the store itself.
const PATIENCE: Duration = Duration::from_secs(60);

async fn install(writer: &mut Writer, number: u32) {
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(number))))]).await;
}

async fn head(lease: &Lease) -> u64 {
    commit::standing(lease.db()).await.unwrap().0
}

/// Another owner, who takes no notice of locks.
async fn successor(writer: &Writer) -> Lease {
    let lease = writer.start.lease.rival().await;
    lease.acquire().await.unwrap();
    lease
}

#[tokio::test]
async fn whoever_was_succeeded_writes_nothing_any_more() {
    let place = Place::new().await;
    let (mut writer, told) = mk_writer(&place).await;
    install(&mut writer, 1).await;
    let successor = successor(&writer).await;
    install(&mut writer, 2).await;
    assert!(writer.is_superseded, "though its lock is its own and no revision is missing");
    writer.recover().await;
    assert!(writer.retry.is_some(), "it does not come back");
    assert_eq!(head(&successor).await, 1);
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_was_succeeded_changes_no_token() {
    let place = Place::new().await;
    let (writer, _) = mk_writer(&place).await;
    let successor = successor(&writer).await;
    let token = crate::store::tests::mk_token(1);
    let refused = tokens::create(&writer.start.lease, token.clone()).await;
    assert!(matches!(refused, Err(StoreError::Superseded)), "{refused:?}");
    tokens::create(&successor, token.clone()).await.unwrap();
    let refused = tokens::revoke(&writer.start.lease, token.id).await;
    assert!(matches!(refused, Err(StoreError::Superseded)), "{refused:?}");
    assert_eq!(entity::access_token::Entity::find().all(successor.db()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_transaction_that_began_before_the_succession_ends_after_it_with_nothing_written() {
    let place = Place::new().await;
    if let Place::File(_) = place {
        // There, a transaction that has begun holds the write lock, so no succession can come after it.
        return;
    }
    let (writer, _) = mk_writer(&place).await;
    let late = writer.start.lease.begin().await.unwrap();
    let successor = successor(&writer).await;
    let refused = writer.start.lease.owned_row(&late).await;
    assert!(matches!(refused, Err(StoreError::Superseded)), "{refused:?}");
    drop(late);
    commit::execute(&successor, &mk_batch(&writer, 2), &[], Durability::Synced).await.unwrap();
    assert_eq!(head(&successor).await, 2);
}

#[tokio::test]
async fn a_succession_waits_for_the_transaction_under_way_and_begins_after_it() {
    let place = Place::new().await;
    let (writer, _) = mk_writer(&place).await;
    let lease = &writer.start.lease;
    let under_way = lease.begin().await.unwrap();
    lease.owned_row(&under_way).await.unwrap();
    let seven = entity::store::Entity::update_many().col_expr(entity::store::Column::Head, Expr::val(7));
    seven.exec(&under_way).await.unwrap();
    let next = lease.rival().await;
    let mut claim = Box::pin(next.acquire());
    let early = timeout(Duration::from_millis(300), &mut claim).await;
    assert!(early.is_err(), "the row is locked");
    under_way.commit().await.unwrap();
    assert_eq!(claim.await.unwrap().head, 7, "what was under way is read");
}

/// A writer that has one plugin, and whose session the server has ended.
async fn cut_off() -> (Place, Writer, Arc<Mutex<Vec<u64>>>) {
    let place = Place::server().await;
    let (mut first, told) = mk_writer(&place).await;
    install(&mut first, 1).await;
    let Place::Server(database) = &place else { panic!("a server") };
    database.end_sessions().await;
    (place, first, told)
}

/// Lets the writer try to come back until it has come to this: on a busy machine a try may take too long.
async fn recover_until(writer: &mut Writer, has_come: impl Fn(&Writer) -> bool) {
    let come = async {
        while !has_come(writer) {
            writer.recover().await;
        }
    };
    timeout(PATIENCE, come).await.expect("it comes to that");
}

/// The whole way, with the locks: the first is cut off, the second starts, the first comes back while the second works.
#[tokio::test]
async fn the_first_comes_back_late_on_a_server() {
    let (place, mut first, told) = cut_off().await;
    let (mut second, _) = mk_writer(&place).await;
    assert_eq!(second.start.head, 1);

    install(&mut first, 2).await;
    assert!(first.retry.is_some(), "the second has the lock");
    recover_until(&mut first, |first| first.is_superseded).await;
    first.end().await;
    install(&mut second, 3).await;
    assert_eq!(second.start.head, 2, "the second has noticed nothing");

    second.end().await;
    let (third, _) = mk_writer(&place).await;
    let ids: Vec<_> = [1, 3].map(mk_id).into();
    assert!(third.start.head == 2 && ids.iter().all(|id| third.start.records.get(*id).is_some()));
    assert_eq!(*told.lock().unwrap(), [1]);
}

/// Somebody who has the lock and has yet to make himself the owner.
async fn holder(place: &Place) -> Lease {
    Lease::open(place.address()).await.unwrap()
}

#[tokio::test]
async fn the_first_waits_for_what_becomes_of_a_lock_that_nobody_has_used_on_a_server() {
    let (place, mut first, told) = cut_off().await;
    let second = holder(&place).await;
    install(&mut first, 2).await;
    first.recover().await;
    assert!(first.retry.is_some() && !first.is_superseded, "the second may still end with nothing done");
    second.release().await.unwrap();
    recover_until(&mut first, |first| first.retry.is_none()).await;
    install(&mut first, 3).await;
    assert_eq!(*told.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn the_first_ends_as_soon_as_the_lock_is_used_on_a_server() {
    let (place, mut first, _) = cut_off().await;
    let second = holder(&place).await;
    install(&mut first, 2).await;
    first.recover().await;
    assert!(!first.is_superseded);
    second.acquire().await.unwrap();
    recover_until(&mut first, |first| first.is_superseded).await;
}
