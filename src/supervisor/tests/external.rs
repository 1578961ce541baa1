//! External plugins: how they dial in, and what they may do then (CONTRACT 3.7, 3.8, 9, 10.2, 10.4).

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, timeout};

use super::world::*;
use crate::{
    domain::{Plugin, PluginId, Reason, RunEvent, State, manifest::Manifest},
    link::{Acceptor, Attached, Authenticated, CloseReason, Handshake, Refusal, Rejected, Session, fake::FakePeer},
    supervisor::Handle,
};

async fn mk_plugin() -> (World, Arc<Plugin>) {
    let world = World::new(Behaviour::Hangs).await;
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    (world, plugin)
}

fn token(plugin: &Plugin) -> String {
    plugin.desired.token.as_ref().unwrap().expose().to_owned()
}

async fn authenticate(handle: &Handle, plugin_id: Option<PluginId>, token: &str) -> Result<Authenticated, Refusal> {
    handle.authenticate(Handshake { plugin_id, token: token.to_owned(), user_agent: String::new() }).await
}

/// A connection that was taken.
struct Line {
    peer: FakePeer,
    attached: Attached,
}

impl Line {
    /// The plugin hangs up.
    fn hang_up(self) {
        (self.attached.events)(RunEvent::Disconnected { reason: "gone".to_owned(), is_fault: false });
    }
}

async fn attach(handle: &Handle, authenticated: Authenticated) -> Result<Line, Rejected> {
    let (session, peer) = Session::channel("");
    let attached = handle.attach(authenticated, session).await?;
    Ok(Line { peer, attached })
}

async fn dial(handle: &Handle, plugin: &Plugin) -> Result<Line, Rejected> {
    attach(handle, authenticate(handle, None, &token(plugin)).await.unwrap()).await
}

async fn until(handle: &Handle, plugin: &Plugin, state: State) -> Arc<Plugin> {
    let mut records = handle.slot(plugin.id).unwrap().subscribe();
    let is_there = |plugin: &Option<Arc<Plugin>>| plugin.as_ref().is_some_and(|p| p.reported.state == state);
    let found = timeout(Duration::from_secs(600), records.wait_for(is_there)).await;
    found.expect("never in this state").unwrap().clone().unwrap()
}

/// CONTRACT 3.2 (c) and 19, row 14; 10.2: `sdprt_` and 32 letters and digits.
#[tokio::test(start_paused = true)]
async fn a_registered_plugin_is_waited_for_at_once_and_has_its_token() {
    let (world, plugin) = mk_plugin().await;
    assert_eq!(plugin.reported.state, State::Connecting);
    assert!(plugin.desired.active.is_active());
    let secret = token(&plugin).strip_prefix("sdprt_").unwrap().to_owned();
    assert!(secret.len() == 32 && secret.chars().all(|c| c.is_ascii_alphanumeric()), "{secret}");
    world.shut_down().await;
}

/// CONTRACT 9: never `error`, never `restarting`.
#[tokio::test(start_paused = true)]
async fn it_is_active_while_it_is_connected_and_waited_for_otherwise_however_long() {
    let (world, plugin) = mk_plugin().await;
    for _ in 0..3 {
        let line = dial(&world.handle, &plugin).await.unwrap();
        until(&world.handle, &plugin, State::Active).await;
        line.hang_up();
        until(&world.handle, &plugin, State::Connecting).await;
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_eq!(world.handle.get(plugin.id).unwrap().reported.state, State::Connecting);
    }
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_it_does_against_the_protocol_is_in_its_status_and_so_is_why_it_was_closed() {
    let (mut world, plugin) = mk_plugin().await;
    let line = dial(&world.handle, &plugin).await.unwrap();
    (line.attached.events)(RunEvent::ProtocolBroken { count: 2, last: "not JSON".to_owned() });
    (line.attached.events)(RunEvent::Disconnected { reason: "it does not read".to_owned(), is_fault: true });
    let left = until(&world.handle, &plugin, State::Connecting).await.reported.clone();
    assert_eq!((left.protocol_faults, &*left.last_protocol_fault), (2, "not JSON"));
    assert_eq!(left.message(), "it does not read");
    assert!(world.notes.try_recv().is_err(), "it has no log");
    dial(&world.handle, &plugin).await.unwrap();
    assert_eq!(until(&world.handle, &plugin, State::Active).await.reported.message(), "");
    world.shut_down().await;
}

/// Whoever ends something with the run has to see it end.
#[tokio::test(start_paused = true)]
async fn each_connection_is_a_run_of_its_own() {
    let (world, plugin) = mk_plugin().await;
    let mut runs = Vec::new();
    for _ in 0..2 {
        let line = dial(&world.handle, &plugin).await.unwrap();
        let active = until(&world.handle, &plugin, State::Active).await;
        assert_eq!(active.reported.run, Some(line.attached.run));
        runs.push(line.attached.run);
        line.hang_up();
        assert_eq!(until(&world.handle, &plugin, State::Connecting).await.reported.run, None);
    }
    assert_ne!(runs[0], runs[1]);
    world.shut_down().await;
}

/// CONTRACT 3.5, 9: 400 for either value, and nothing is changed.
#[tokio::test(start_paused = true)]
async fn it_can_not_be_started_stopped_or_restarted() {
    let (world, plugin) = mk_plugin().await;
    for active in [ActiveState::Active, ActiveState::Inactive] {
        let error = world.handle.set_active(plugin.id, active, "test", WAIT).await.unwrap_err();
        assert_eq!(error.reason, Reason::ExternalPlugin);
    }
    let error = world.handle.restart(plugin.id, "test", WAIT).await.unwrap_err();
    assert_eq!(error.reason, Reason::ExternalPlugin);
    let after = world.handle.get(plugin.id).unwrap();
    assert_eq!((&after.desired, after.reported.state), (&plugin.desired, State::Connecting));
    world.shut_down().await;
}

/// CONTRACT 3.7, 3.8: supervised plugins have neither.
#[tokio::test(start_paused = true)]
async fn a_supervised_plugin_has_no_token_to_rotate_and_no_manifest_to_replace() {
    let (world, _) = mk_plugin().await;
    let rotated = world.handle.rotate_token(world.id, "test").await.unwrap_err();
    let replaced = world.handle.update_manifest(world.id, mk_manifest(), "test").await.unwrap_err();
    assert_eq!((rotated.reason, replaced.reason), (Reason::SupervisedPlugin, Reason::SupervisedPlugin));
    world.shut_down().await;
}

/// CONTRACT 3.7: a new token, the connection dropped with 1000 `closed`, the state `connecting`.
#[tokio::test(start_paused = true)]
async fn rotating_the_token_closes_the_connection_and_only_the_new_token_is_good() {
    let (world, plugin) = mk_plugin().await;
    let line = dial(&world.handle, &plugin).await.unwrap();
    let rotated = world.handle.rotate_token(plugin.id, "test").await.unwrap();
    assert_eq!(rotated.reported.state, State::Connecting);
    assert_ne!(token(&rotated), token(&plugin));
    assert_eq!(line.peer.closed().await, CloseReason::Closed);
    assert_eq!(authenticate(&world.handle, None, &token(&plugin)).await.unwrap_err(), Refusal::Unauthorised);
    assert!(dial(&world.handle, &rotated).await.is_ok());
    world.shut_down().await;
}

/// It would be lost with the answer, and the old one is good for nothing.
#[tokio::test(start_paused = true)]
async fn a_new_token_is_answered_though_the_old_connection_is_not_known_to_be_closed() {
    let (world, plugin) = mk_plugin().await;
    let rotate = world.handle.rotate_token(plugin.id, "test");
    let cut_off = async {
        let is_rotated = || token(&world.handle.get(plugin.id).unwrap()) != token(&plugin);
        while !is_rotated() {
            tokio::task::yield_now().await;
        }
        // What the plugin's actor reports from now on is not stored.
        world.store.is_away.store(true, Ordering::SeqCst);
    };
    let (rotated, ()) = tokio::join!(rotate, cut_off);
    let rotated = rotated.unwrap();
    assert!(rotated.reported.observed_generation < rotated.desired.generation);
    assert_eq!(token(&rotated), token(&world.handle.get(plugin.id).unwrap()));
    world.store.is_away.store(false, Ordering::SeqCst);
    world.shut_down().await;
}

/// plugd's own decision: a rotated token is refused even by a connection authenticated before the rotation.
#[tokio::test(start_paused = true)]
async fn who_was_let_in_before_the_rotation_is_turned_away_after_it() {
    let (world, plugin) = mk_plugin().await;
    let authenticated = authenticate(&world.handle, None, &token(&plugin)).await.unwrap();
    let rotated = world.handle.rotate_token(plugin.id, "test").await.unwrap();
    assert!(attach(&world.handle, authenticated).await.is_err());
    assert_eq!(world.handle.get(plugin.id).unwrap().reported.state, State::Connecting);
    assert!(dial(&world.handle, &rotated).await.is_ok(), "the new token is not spoilt by that");
    world.shut_down().await;
}

/// The same for one that waits until the first connection has been asked whether it lives.
#[tokio::test(start_paused = true)]
async fn a_rotation_while_the_first_connection_is_asked_turns_the_second_away() {
    let (world, plugin) = mk_plugin().await;
    let mut silent = dial(&world.handle, &plugin).await.unwrap();
    let authenticated = authenticate(&world.handle, None, &token(&plugin)).await.unwrap();
    let rotate = async {
        assert_eq!(silent.peer.next().await.unwrap().method, "ping");
        world.handle.rotate_token(plugin.id, "test").await.unwrap()
    };
    let (second, rotated) = tokio::join!(attach(&world.handle, authenticated), rotate);
    assert!(second.is_err());
    assert!(world.handle.slot(plugin.id).unwrap().session().is_none());
    assert!(dial(&world.handle, &rotated).await.is_ok());
    world.shut_down().await;
}

/// CONTRACT 3.8: closed with 1000, `connecting`, token and configuration as they were; the manifest's id may change.
#[tokio::test(start_paused = true)]
async fn another_manifest_closes_the_connection_and_keeps_the_token_and_the_configuration() {
    let (world, plugin) = mk_plugin().await;
    let line = dial(&world.handle, &plugin).await.unwrap();
    let mut manifest = mk_manifest();
    manifest.id = "renamed".to_owned();
    let updated = world.handle.update_manifest(plugin.id, manifest, "test").await.unwrap();
    assert_eq!((updated.reported.state, &*updated.desired.manifest.id), (State::Connecting, "renamed"));
    assert_eq!(line.peer.closed().await, CloseReason::Closed);
    assert_eq!((token(&updated), updated.desired.token_epoch), (token(&plugin), plugin.desired.token_epoch));
    assert_eq!(updated.desired.configuration, plugin.desired.configuration);
    assert!(dial(&world.handle, &updated).await.is_ok());
    world.shut_down().await;
}

/// CONTRACT 10.2: the token identifies the plugin by itself; an id beside it has to be the right one.
#[tokio::test(start_paused = true)]
async fn an_id_is_not_needed_and_a_wrong_one_is_refused() {
    let (world, plugin) = mk_plugin().await;
    let other = world.handle.register_external(mk_manifest(), None).await.unwrap();
    let token = token(&plugin);
    assert!(authenticate(&world.handle, None, &token).await.is_ok());
    assert_eq!(authenticate(&world.handle, Some(plugin.id), &token).await.unwrap().plugin, plugin.id);
    for wrong in [other.id, world.id, "9m4e2mr0ui3e8a215n4g".parse().unwrap()] {
        assert_eq!(authenticate(&world.handle, Some(wrong), &token).await.unwrap_err(), Refusal::Unauthorised);
    }
    world.shut_down().await;
}

/// CONTRACT 10.4 and plugd's own decision: the first is pinged; it answers, so the second is refused.
#[tokio::test(start_paused = true)]
async fn a_second_connection_is_refused_while_the_first_answers() {
    let (world, plugin) = mk_plugin().await;
    let first = dial(&world.handle, &plugin).await.unwrap();
    let session = world.handle.slot(plugin.id).unwrap().session().unwrap();
    tokio::spawn(first.peer.answer_all(|call| Ok(FakePeer::ok(call))));
    let began = Instant::now();
    assert!(dial(&world.handle, &plugin).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO, "it answered at once");
    assert_eq!(world.handle.slot(plugin.id).unwrap().session().unwrap().id(), session.id());
    world.shut_down().await;
}

/// The other half: no answer within 2 s, and the second takes over. Nobody sees the plugin as anything but active.
#[tokio::test(start_paused = true)]
async fn a_second_connection_takes_over_from_a_first_that_does_not_answer_within_2_s() {
    let (world, plugin) = mk_plugin().await;
    let first = dial(&world.handle, &plugin).await.unwrap();
    until(&world.handle, &plugin, State::Active).await;
    let began = Instant::now();
    let second = dial(&world.handle, &plugin).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(first.peer.closed().await, CloseReason::Closed);
    first.hang_up();
    tokio::task::yield_now().await;
    assert_eq!(world.handle.get(plugin.id).unwrap().reported.state, State::Active, "the first has no say any longer");
    second.hang_up();
    until(&world.handle, &plugin, State::Connecting).await;
    world.shut_down().await;
}

/// CONTRACT 10.2: consumed by the first that connects, also of two that were let in together.
#[tokio::test(start_paused = true)]
async fn of_two_that_hold_the_same_one_time_token_one_connects() {
    let world = World::new(Behaviour::Hangs).await;
    world.handle.set_active(world.id, ActiveState::Active, "test", crate::supervisor::Wait::No).await.unwrap();
    world.until(State::Connecting).await;
    let url = world.runtime.url.lock().unwrap().clone();
    let one = world.handle.authenticate(mk_handshake(&url)).await.unwrap();
    let two = world.handle.authenticate(mk_handshake(&url)).await.unwrap();
    let first = attach(&world.handle, one).await.unwrap();
    assert!(attach(&world.handle, two).await.is_err());
    assert_eq!(world.handle.authenticate(mk_handshake(&url)).await.unwrap_err(), Refusal::Unauthorised);
    first.hang_up();
    world.until(State::Connecting).await;
    assert_eq!(world.handle.authenticate(mk_handshake(&url)).await.unwrap_err(), Refusal::Unauthorised, "it is spent");
    world.shut_down().await;
}

/// CONTRACT 10.4.
#[tokio::test(start_paused = true)]
async fn a_deletion_closes_the_connection_and_the_token_with_it() {
    let (world, plugin) = mk_plugin().await;
    let line = dial(&world.handle, &plugin).await.unwrap();
    world.handle.delete(plugin.id, "test").await.unwrap();
    assert_eq!(line.peer.closed().await, CloseReason::Closed);
    assert_eq!(authenticate(&world.handle, None, &token(&plugin)).await.unwrap_err(), Refusal::Unauthorised);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_made_again_gets_the_first_answer_and_one_for_something_else_is_refused() {
    let world = World::new(Behaviour::Connects).await;
    let register =
        async |manifest, request_id: &str| world.handle.register_external(manifest, Some(request_id.to_owned())).await;
    let (one, two) = tokio::join!(register(mk_manifest(), "a"), register(mk_manifest(), "a"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.id, &one.desired.token), (two.id, &two.desired.token), "at the same time");
    assert_eq!(register(mk_manifest(), "a").await.unwrap().id, one.id);
    assert_ne!(register(mk_manifest(), "b").await.unwrap().id, one.id, "another request");
    let renamed = Manifest { name: "Another".to_owned(), ..mk_manifest() };
    let refused = register(renamed, "a").await.unwrap_err();
    assert_eq!((refused.reason, &*refused.metadata["plugin_id"]), (Reason::RequestIdReused, &*one.id.to_string()));
    world.handle.delete(one.id, "test").await.unwrap();
    assert_ne!(register(mk_manifest(), "a").await.unwrap().id, one.id, "it is remembered with its plugin");
    world.shut_down().await;
}
