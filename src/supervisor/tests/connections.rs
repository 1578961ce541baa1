//! External plugins that dial in more than once (CONTRACT 9, 10.4).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::json;

use super::world::*;
use crate::{
    domain::{Plugin, Reason, State},
    link::{Acceptor, Authenticated, Handshake, Session, fake::FakePeer},
};

async fn dial(world: &World, plugin: &Plugin) -> (Authenticated, Session, FakePeer) {
    let token = plugin.desired.token.as_ref().unwrap().expose().to_owned();
    let handshake = Handshake { plugin_id: None, token, user_agent: "fake".to_owned() };
    let authenticated = world.handle.authenticate(handshake).await.unwrap();
    let (session, peer) = Session::channel("fake");
    (authenticated, session, peer)
}

async fn until(world: &World, plugin: &Plugin, state: State) {
    let mut records = world.handle.slot(plugin.id).unwrap().subscribe();
    let is_there = |record: &Option<Arc<Plugin>>| record.as_ref().is_some_and(|record| record.reported.state == state);
    let found = tokio::time::timeout(Duration::from_secs(600), records.wait_for(is_there)).await;
    assert!(found.is_ok(), "never {state:?}");
}

/// An external plugin with a connection that does not answer.
async fn deaf(world: &World) -> (Arc<Plugin>, FakePeer) {
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    let (authenticated, session, peer) = dial(world, &plugin).await;
    assert!(world.handle.attach(authenticated, session).await.is_ok());
    until(world, &plugin, State::Active).await;
    (plugin, peer)
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_takes_over_from_a_first_that_does_not_answer() {
    let world = World::new(Behaviour::Connects).await;
    let (plugin, first) = deaf(&world).await;
    let (authenticated, session, second) = dial(&world, &plugin).await;
    let number = session.id();
    assert!(world.handle.attach(authenticated, session).await.is_ok());
    first.closed().await;
    assert_eq!(world.handle.slot(plugin.id).unwrap().session().map(|session| session.id()), Some(number));
    drop(second);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_second_connections_one_is_taken_and_not_thrown_out_by_the_other() {
    let world = World::new(Behaviour::Connects).await;
    let (plugin, _first) = deaf(&world).await;
    let (second_credential, second, second_peer) = dial(&world, &plugin).await;
    let (third_credential, third, third_peer) = dial(&world, &plugin).await;
    for peer in [second_peer, third_peer] {
        tokio::spawn(peer.answer_all(|_| Ok(json!({"ok": true}))));
    }
    let (second, third) =
        tokio::join!(world.handle.attach(second_credential, second), world.handle.attach(third_credential, third));
    assert_ne!(second.is_ok(), third.is_ok());
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_by_a_client_that_has_left_leaves_nobody_connected() {
    let world = World::new(Behaviour::Connects).await;
    let (plugin, first) = deaf(&world).await;
    let (authenticated, session, second) = dial(&world, &plugin).await;
    let attach = tokio::time::timeout(Duration::from_secs(1), world.handle.attach(authenticated, session));
    assert!(attach.await.is_err(), "the first had not had its 2 s");
    drop(second);
    first.closed().await;
    until(&world, &plugin, State::Connecting).await;
    assert!(world.handle.slot(plugin.id).unwrap().session().is_none());
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_token_rotated_between_the_handshake_and_the_connection_is_refused() {
    let world = World::new(Behaviour::Connects).await;
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    let (authenticated, session, _peer) = dial(&world, &plugin).await;
    world.handle.rotate_token(plugin.id, "test").await.unwrap();
    assert!(world.handle.attach(authenticated, session).await.is_err());
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn an_external_plugin_whose_deletion_was_not_stored_can_connect_again() {
    let world = World::new(Behaviour::Connects).await;
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    world.store.is_away.store(true, Ordering::SeqCst);
    let error = world.handle.delete(plugin.id, "test").await.unwrap_err();
    assert_eq!(error.reason, Reason::StoreUnavailable);
    world.store.is_away.store(false, Ordering::SeqCst);
    let (authenticated, session, _peer) = dial(&world, &plugin).await;
    assert!(world.handle.attach(authenticated, session).await.is_ok());
    world.shut_down().await;
}
