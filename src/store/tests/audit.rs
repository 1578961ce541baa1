//! The audit trail.

use sea_orm::{ConnectionTrait, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait};

use super::*;
use crate::{
    domain::audit::{AuditEvent, AuditFilter, Principal},
    store::{
        audit::{BATCH, LINGER, QUEUE, Trail, to_row},
        entity::audit_event,
    },
};

const ALL: u64 = 1_000_000;

/// An event in which no field has its default, of the method with this number.
pub(super) fn mk_event(number: u64) -> AuditEvent {
    let principal =
        Principal { token: TokenId::from_bytes([1; 12]), name: "some\0body".into(), role: access::Role::Host };
    AuditEvent {
        id: 0,
        time: rows::stored(Timestamp::now()),
        principal,
        address: Some("2001:db8::7".parse().unwrap()),
        method: format!("plugd.v1.PluginService/Method{number}"),
        plugin: Some(mk_id(1)),
        token: Some(TokenId::from_bytes([2; 12])),
        hook: Some(HookId::from_bytes([3; 12])),
        code: "OK".to_owned(),
        reason: Some("SUPERSEDED".to_owned()),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
    }
}

/// An event as it is stored; the second has as little in it as one can have.
pub(in crate::store) fn mk_row(number: u64) -> audit_event::Model {
    let event = AuditEvent { id: number, ..mk_event(number) };
    let bare = |event| AuditEvent { address: None, plugin: None, token: None, hook: None, reason: None, ..event };
    to_row(if number == 2 { bare(event) } else { event })
}

pub(super) fn refused(event: AuditEvent) -> AuditEvent {
    AuditEvent { code: "PERMISSION_DENIED".to_owned(), ..event }
}

/// Hands in events and waits until they are stored.
async fn audit(store: &Store, events: impl IntoIterator<Item = AuditEvent>) {
    events.into_iter().for_each(|event| store.audit(event));
    store.flush().await.unwrap();
}

async fn ids(store: &Store, filter: AuditFilter) -> Vec<u64> {
    store.audit_events(filter, None, ALL).await.unwrap().iter().map(|event| event.id).collect()
}

/// The lock that every transaction of the writer needs.
async fn lock(fixture: &Fixture) -> (DatabaseConnection, DatabaseTransaction) {
    let db = fixture.place.connection().await;
    let mode = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
    let lock = db.begin_with_options(options).await.unwrap();
    lock.execute_unprepared("UPDATE store SET head = head").await.unwrap();
    (db, lock)
}

#[tokio::test]
async fn events_come_back_as_they_were_newest_first_and_survive_a_restart() {
    let fixture = Fixture::new().await;
    let bare =
        AuditEvent { address: None, plugin: None, token: None, hook: None, reason: None, ..refused(mk_event(2)) };
    audit(&fixture.store, [mk_event(1), bare.clone()]).await;
    let fixture = fixture.reopened(10).await;
    audit(&fixture.store, [mk_event(3)]).await;
    let found = fixture.store.audit_events(AuditFilter::default(), None, ALL).await.unwrap();
    assert_eq!(found.iter().map(|event| event.id).collect::<Vec<_>>(), [3, 2, 1]);
    let principal = Principal { name: "some\u{fffd}body".to_owned(), ..bare.principal.clone() };
    assert_eq!(found[1], AuditEvent { id: 2, principal: principal.clone(), ..bare });
    assert_eq!(found[2], AuditEvent { id: 1, time: found[2].time, principal, ..mk_event(1) });
}

#[tokio::test]
async fn events_are_found_by_plugin_principal_and_method_page_by_page() {
    let fixture = Fixture::new().await;
    let by_other = |event: AuditEvent| {
        let principal = Principal { token: TokenId::from_bytes([9; 12]), ..event.principal };
        AuditEvent { principal, plugin: Some(mk_id(2)), ..event }
    };
    audit(&fixture.store, [mk_event(1), by_other(mk_event(1)), mk_event(2), by_other(mk_event(2))]).await;
    let filter = AuditFilter { plugin: Some(mk_id(2)), ..AuditFilter::default() };
    assert_eq!(ids(&fixture.store, filter.clone()).await, [4, 2]);
    assert_eq!(ids(&fixture.store, AuditFilter { method: Some(mk_event(1).method), ..filter }).await, [2]);
    let filter = AuditFilter { principal: Some(TokenId::from_bytes([1; 12])), ..AuditFilter::default() };
    assert_eq!(ids(&fixture.store, filter.clone()).await, [3, 1]);
    let page = fixture.store.audit_events(filter, Some(3), 5).await.unwrap();
    assert_eq!(page.iter().map(|event| event.id).collect::<Vec<_>>(), [1]);
    let page = fixture.store.audit_events(AuditFilter::default(), Some(4), 2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.id).collect::<Vec<_>>(), [3, 2]);
}

#[tokio::test]
async fn only_the_newest_are_kept_and_ids_are_never_used_again() {
    let fixture = Fixture::keeping(20).await;
    for number in 0..50 {
        audit(&fixture.store, [mk_event(number)]).await;
        let kept = ids(&fixture.store, AuditFilter::default()).await.len();
        assert!(kept <= 22, "{kept} after {number}");
    }
    let kept = ids(&fixture.store, AuditFilter::default()).await;
    assert_eq!((kept[0], kept.len() >= 20), (50, true), "{kept:?}");
    let fixture = fixture.reopened(20).await;
    audit(&fixture.store, [mk_event(50)]).await;
    assert_eq!(ids(&fixture.store, AuditFilter::default()).await[0], 51);
}

#[tokio::test]
async fn a_normal_stop_loses_none() {
    let fixture = Fixture::new().await;
    (0..3000).for_each(|number| fixture.store.audit(mk_event(number)));
    let fixture = fixture.reopened(10_000).await;
    assert_eq!(ids(&fixture.store, AuditFilter::default()).await.len(), 3000);
}

#[tokio::test]
async fn events_wait_for_the_database_and_are_stored_once() {
    let fixture = Fixture::new().await;
    let (_db, lock) = lock(&fixture).await;
    fixture.store.audit(mk_event(1));
    fixture.healthy(false).await;
    fixture.store.audit(mk_event(2));
    lock.rollback().await.unwrap();
    fixture.healthy(true).await;
    audit(&fixture.store, [mk_event(3)]).await;
    let found = fixture.store.audit_events(AuditFilter::default(), None, ALL).await.unwrap();
    let methods: Vec<_> = found.into_iter().map(|event| event.method).collect();
    assert_eq!(methods, [3, 2, 1].map(|number| mk_event(number).method));
}

/// Somebody who may do nothing must not be able to hide what others do.
#[tokio::test]
async fn what_was_refused_leaves_room_for_what_was_done() {
    let fixture = Fixture::new().await;
    let (_db, lock) = lock(&fixture).await;
    fixture.store.audit(mk_event(0));
    fixture.healthy(false).await;
    (0..2 * QUEUE as u64).for_each(|number| fixture.store.audit(refused(mk_event(number))));
    fixture.store.audit(mk_event(7));
    lock.rollback().await.unwrap();
    fixture.healthy(true).await;
    fixture.store.flush().await.unwrap();
    let kept = fixture.store.audit_events(AuditFilter::default(), None, ALL).await.unwrap();
    assert_eq!((kept[0].method.as_str(), kept[0].is_done()), (mk_event(7).method.as_str(), true));
    assert_eq!(kept.len(), 2 + QUEUE / 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_a_change_a_moment_and_a_full_transaction_for_none() {
    let (mut trail, sink) = Trail::keeping(10, (0, 0));
    let mut waited = async |count: usize| {
        (0..count).for_each(|number| sink.add(mk_event(number as u64)));
        let began = tokio::time::Instant::now();
        trail.ready().await;
        assert_eq!(trail.take().len(), count);
        began.elapsed()
    };
    assert_eq!(waited(1).await, LINGER);
    assert_eq!(waited(BATCH).await, Duration::ZERO);
}
