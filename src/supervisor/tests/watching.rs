//! Watchers.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::world::*;
use crate::{
    domain::{Reason, Reported, State},
    supervisor::{ChangeKind, Filter, Frame, Handle, Projection, Start, Store, Watch, WatchQuery},
};

pub(super) fn mk_query(start: Start) -> WatchQuery {
    WatchQuery { filter: Filter::default(), start, heartbeat: Duration::from_secs(15), max_age: None }
}

fn after(revision: u64) -> Start {
    Start::After { epoch: EPOCH.to_owned(), revision }
}

/// Everything up to the next heartbeat, as kind and state.
async fn events(watch: &mut Watch) -> Vec<(ChangeKind, State)> {
    let mut seen = Vec::new();
    loop {
        match watch.next().await.unwrap() {
            Frame::Events(events) => {
                seen.extend(events.iter().map(|event| (event.kind, event.commit.plugin.reported.state)));
            }
            Frame::Heartbeat => return seen,
            Frame::Opened { .. } | Frame::Snapshot(_) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_a_snapshot_and_goes_on_without_a_gap() {
    let world = World::new(Behaviour::Connects).await;
    let mut watch = world.handle.watch(mk_query(Start::Snapshot)).unwrap();
    let Frame::Opened { head: 1.., compacted: 0 } = watch.next().await.unwrap() else { panic!() };
    let Frame::Snapshot(plugins) = watch.next().await.unwrap() else { panic!() };
    assert_eq!(plugins[0].id, world.id);
    world.set_active(ActiveState::Active).await.unwrap();
    let states: Vec<_> = events(&mut watch).await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [State::Inactive, State::Starting, State::Connecting, State::Active]);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_any_revision_without_gap_or_repeat() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    let head = world.handle.get(world.id).unwrap().revision;
    for revision in 0..=head {
        let mut watch = world.handle.watch(mk_query(after(revision))).unwrap();
        let mut revisions = Vec::new();
        loop {
            match watch.next().await.unwrap() {
                Frame::Events(events) => revisions.extend(events.iter().map(|event| event.commit.revision)),
                Frame::Heartbeat => break,
                Frame::Opened { .. } => {}
                Frame::Snapshot(_) => panic!("a snapshot nobody asked for"),
            }
        }
        // The plugin becomes stable while the loop waits for heartbeats: the head moves.
        assert!(watch.cursor() >= head);
        assert_eq!(revisions, (revision + 1..=watch.cursor()).collect::<Vec<_>>());
    }
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_behind_the_ring_reads_the_journal() {
    let world = World::new(Behaviour::Connects).await;
    let mut watch = world.handle.watch(mk_query(after(0))).unwrap();
    for _ in 0..900 {
        world.set_active(ActiveState::Active).await.unwrap();
        world.set_active(ActiveState::Inactive).await.unwrap();
    }
    let head = world.handle.get(world.id).unwrap().revision;
    assert!(head > 5_000, "{head} commits fit the ring");
    assert_eq!(u64::try_from(events(&mut watch).await.len()).unwrap(), head);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_turns_entering_and_leaving_into_added_and_removed() {
    let world = World::new(Behaviour::Connects).await;
    let mut query = mk_query(Start::Live);
    query.filter.states.insert(State::Active);
    let mut watch = world.handle.watch(query).unwrap();
    world.set_active(ActiveState::Active).await.unwrap();
    world.set_active(ActiveState::Inactive).await.unwrap();
    let seen = events(&mut watch).await;
    assert_eq!(seen.first(), Some(&(ChangeKind::Added, State::Active)));
    assert_eq!(seen.last(), Some(&(ChangeKind::Removed, State::Stopping)));
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn cursors_that_can_not_be_resumed_are_refused_each_with_its_reason() {
    let world = World::new(Behaviour::Connects).await;
    world.set_active(ActiveState::Active).await.unwrap();
    world.store.compacted.store(3, Ordering::SeqCst);
    let reason = |start| world.handle.watch(mk_query(start)).map(drop).unwrap_err().reason;
    assert_eq!(reason(after(2)), Reason::RevisionCompacted);
    assert_eq!(reason(after(1_000)), Reason::RevisionUnknown);
    assert_eq!(reason(Start::After { epoch: "other".to_owned(), revision: 4 }), Reason::EpochUnknown);
    assert!(world.handle.watch(mk_query(after(3))).is_ok(), "the compacted revision itself is a good cursor");
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_age_and_when_the_server_drains() {
    let world = World::new(Behaviour::Connects).await;
    let aged = WatchQuery { max_age: Some(Duration::from_secs(20)), ..mk_query(Start::Live) };
    let mut aged = world.handle.watch(aged).unwrap();
    let mut drained = world.handle.watch(mk_query(Start::Live)).unwrap();
    assert!(matches!(aged.next().await, Ok(Frame::Opened { .. })));
    assert!(matches!(aged.next().await, Ok(Frame::Heartbeat)));
    assert_eq!(aged.next().await.unwrap_err().reason, Reason::MaxAgeReached);
    assert!(matches!(drained.next().await, Ok(Frame::Opened { .. })));
    world.shut_down().await;
    assert_eq!(drained.next().await.unwrap_err().reason, Reason::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_watch_far_behind_whose_filter_leaves_everything_out_says_that_it_goes_on_and_ends() {
    let world = World::new(Behaviour::Connects).await;
    for number in 0..600 {
        let plugin = world.handle.get(world.id).unwrap();
        world.store.report(world.id, Reported { restarts: number, ..plugin.reported.clone() });
    }
    let mut query = WatchQuery { heartbeat: Duration::ZERO, ..mk_query(after(0)) };
    query.filter.ids.insert(xid::new().into());
    let mut watch = world.handle.watch(query).unwrap();
    assert!(matches!(watch.next().await, Ok(Frame::Opened { .. })));
    assert!(matches!(watch.next().await, Ok(Frame::Heartbeat)));
    assert!((1..600).contains(&watch.cursor()), "it is on its way: {}", watch.cursor());
    world.shut_down().await;
    assert_eq!(watch.next().await.unwrap_err().reason, Reason::Draining);
}

#[tokio::test(start_paused = true)]
async fn a_watch_waits_a_while_for_a_revision_that_was_told_by_another_plugd() {
    let world = World::new(Behaviour::Connects).await;
    let commits = world.store.journal_after(0, 9).await.unwrap();
    // A follower told it before the leader knew that the database had it.
    let (leading, _supervisor) = crate::supervisor::start(Vec::new(), 0);
    for projection in [Projection::following(Vec::new(), 0), leading] {
        let handle = Handle::new(projection.clone(), world.store.clone(), EPOCH.to_owned(), CancellationToken::new());
        let told = after(commits.last().unwrap().revision);
        assert_eq!(handle.watch(mk_query(told.clone())).map(drop).unwrap_err().reason, Reason::RevisionUnknown);
        let mut arrived = Box::pin(handle.arrived(&told));
        assert!(arrived.as_mut().now_or_never().is_none(), "it is not there");
        projection.apply(&commits);
        assert!(arrived.now_or_never().is_some(), "it is there");
        assert!(handle.watch(mk_query(told)).is_ok());
        // What never comes is not waited for for ever.
        handle.arrived(&after(u64::MAX)).await;
    }
}
