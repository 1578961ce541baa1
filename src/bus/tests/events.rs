//! Events (CONTRACT 12).

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::{
    bus::{Events, events::Published},
    domain::{Reason, State, events::EventCatalog},
    link::{CloseReason, RpcError},
    supervisor::{Filter, Frame, Start, WatchQuery},
};

fn mk_events(world: &World) -> Events {
    Events::new(world.handle.projection().clone(), EventCatalog::any(), |_, payload| Ok(payload))
}

fn publish(events: &Events, number: u64) -> Published {
    events.publish("order.paid", object(json!({"number": number})), None).unwrap()
}

/// The next event of a plugin, which it takes well.
async fn take(peer: &mut FakePeer) -> Value {
    let call = peer.next().await.unwrap();
    assert_eq!(call.method, "event");
    peer.answer(&call.id, Ok(FakePeer::ok(&call)));
    call.params
}

/// Is nothing on its way to a plugin?
async fn is_idle(peer: &mut FakePeer) -> bool {
    tokio::time::timeout(Duration::from_secs(5), peer.next()).await.is_err()
}

/// CONTRACT 12: flat payload with the discriminator `event`; only to those whose manifest names it.
#[tokio::test(start_paused = true)]
async fn an_event_goes_to_those_who_consume_it_with_its_name_in_the_payload() {
    let world = mk_world().await;
    let (_, mut one) = consumer(&world, "one", &["order.paid", "order.sent"]).await;
    let (_, mut two) = consumer(&world, "two", &["order.paid"]).await;
    let (_, mut other) = consumer(&world, "other", &["order.sent"]).await;
    assert_eq!(publish(&mk_events(&world), 1), Published { matched: 2, accepted: 2 });
    for peer in [&mut one, &mut two] {
        assert_eq!(take(peer).await, json!({"event": "order.paid", "number": 1}));
    }
    assert!(is_idle(&mut other).await, "it does not consume this");
    world.shut_down().await;
}

/// CONTRACT 12: the name that counts is the one that was published under.
#[tokio::test(start_paused = true)]
async fn a_payload_can_not_pass_for_another_event() {
    let world = mk_world().await;
    let (_, mut peer) = consumer(&world, "one", &["order.paid"]).await;
    mk_events(&world).publish("order.paid", object(json!({"event": "order.sent"})), None).unwrap();
    assert_eq!(take(&mut peer).await, json!({"event": "order.paid"}));
    world.shut_down().await;
}

/// CONTRACT 12.
#[tokio::test(start_paused = true)]
async fn a_plugin_gets_its_events_in_order_one_at_a_time() {
    let world = mk_world().await;
    let (_, mut peer) = consumer(&world, "one", &["order.paid"]).await;
    let events = mk_events(&world);
    for number in 0..200 {
        assert_eq!(publish(&events, number).accepted, 1);
    }
    for number in 0..200 {
        let call = peer.next().await.unwrap();
        assert_eq!(call.params["number"], number);
        let early = tokio::time::timeout(Duration::from_millis(1), peer.next()).await;
        assert!(early.is_err(), "the one before is not done");
        peer.answer(&call.id, Ok(FakePeer::ok(&call)));
    }
    world.shut_down().await;
}

/// CONTRACT 11.3 (c).
#[tokio::test(start_paused = true)]
async fn a_plugin_that_does_not_answer_holds_up_neither_the_publisher_nor_the_others() {
    let world = mk_world().await;
    let (_, _deaf) = consumer(&world, "deaf", &["order.paid"]).await;
    let (_, mut quick) = consumer(&world, "quick", &["order.paid"]).await;
    let events = mk_events(&world);
    let began = Instant::now();
    for number in 0..200 {
        assert_eq!(publish(&events, number), Published { matched: 2, accepted: 2 });
        assert_eq!(take(&mut quick).await["number"], number);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.shut_down().await;
}

/// Nothing is dropped silently: a full queue is counted, and whoever watches sees it within a second or so.
#[tokio::test(start_paused = true)]
async fn what_a_full_queue_loses_is_counted_soon_even_while_the_plugin_answers_nothing() {
    let world = mk_world().await;
    let (deaf, _peer) = consumer(&world, "deaf", &["order.paid"]).await;
    let events = mk_events(&world);
    let query = WatchQuery {
        filter: Filter::default(),
        start: Start::Live,
        heartbeat: Duration::from_secs(600),
        max_age: None,
    };
    let mut watch = world.handle.watch(query).unwrap();
    let accepted: u32 = (0..300).map(|number| publish(&events, number).accepted).sum();
    let seen = tokio::time::timeout(Duration::from_secs(2), async {
        loop {
            let Frame::Events(events) = watch.next().await.unwrap() else { continue };
            let dropped = events.iter().map(|event| event.commit.plugin.reported.events_dropped).max();
            if dropped > Some(0) {
                return dropped.unwrap();
            }
        }
    });
    let seen = seen.await.expect("no watcher is told");
    assert_eq!(seen + u64::from(accepted), 300);
    assert_eq!(world.handle.get(deaf.id).unwrap().reported.events_dropped, seen);
    world.shut_down().await;
}

/// However few they are. One is under way, and has given its share back or not.
#[tokio::test(start_paused = true)]
async fn events_that_wait_are_bounded_in_bytes_too() {
    let world = mk_world().await;
    let (_, _deaf) = consumer(&world, "deaf", &["order.paid"]).await;
    let (_, mut quick) = consumer(&world, "quick", &["order.paid"]).await;
    let events = mk_events(&world);
    let large = object(json!({"text": "x".repeat(1_000_000)}));
    let mut matched = Vec::new();
    for _ in 0..40 {
        matched.push(events.publish("order.paid", large.clone(), None).unwrap().accepted);
        take(&mut quick).await;
    }
    let taken = matched.iter().filter(|&&accepted| accepted == 2).count();
    assert!((16..=17).contains(&taken) && matched[taken..].iter().all(|&accepted| accepted == 1), "{matched:?}");
    world.shut_down().await;
}

/// CONTRACT 12: nothing is queued for disconnected plugins. What a connection left behind when it ended is counted.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_plugin_that_is_not_connected() {
    let world = mk_world().await;
    let events = mk_events(&world);
    let plugin = register(&world, "one", json!({"events_consumed": ["order.paid"]})).await;
    assert_eq!(publish(&events, 1), Published { matched: 0, accepted: 0 });
    let mut first = dial(&world, &plugin).await;
    assert!(is_idle(&mut first).await, "sent before it came");
    publish(&events, 2);
    publish(&events, 3);
    world.handle.rotate_token(plugin.id, "test").await.unwrap();
    drop(first);
    let mut second = dial(&world, &plugin).await;
    assert!(is_idle(&mut second).await, "meant for the connection before");
    publish(&events, 4);
    assert_eq!(take(&mut second).await["number"], 4);
    assert_eq!(world.handle.get(plugin.id).unwrap().reported.events_dropped, 1, "the third; the second was sent");
    world.shut_down().await;
}

/// CONTRACT 12: no retry; CONTRACT 19, row 20: a plugin that does not answer gets the next event after a deadline.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_or_never_answered_is_not_sent_again() {
    let world = mk_world().await;
    let (_, mut peer) = consumer(&world, "one", &["order.paid"]).await;
    let events = mk_events(&world);
    for number in 0..3 {
        publish(&events, number);
    }
    let refused = peer.next().await.unwrap();
    peer.answer(&refused.id, Err(RpcError::failed("handler error")));
    let ignored = peer.next().await.unwrap();
    let began = Instant::now();
    let last = peer.next().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    let numbers = [refused, ignored, last].map(|call| call.params["number"].as_u64().unwrap());
    assert_eq!(numbers, [0, 1, 2]);
    world.shut_down().await;
}

/// CONTRACT 9: subscriptions come from the manifest that was current when the connection was accepted.
#[tokio::test(start_paused = true)]
async fn another_manifest_consumes_other_events() {
    let world = mk_world().await;
    let (plugin, old) = consumer(&world, "one", &["order.paid"]).await;
    let manifest = json!({"id": "one", "author": "a", "name": "one", "command": "", "events_consumed": ["order.sent"]});
    let manifest = serde_json::from_value(manifest).unwrap();
    world.handle.update_manifest(plugin.id, manifest, "test").await.unwrap();
    assert_eq!(old.closed().await, CloseReason::Closed);
    let mut peer = dial(&world, &plugin).await;
    let events = mk_events(&world);
    assert_eq!(publish(&events, 1).matched, 0);
    events.publish("order.sent", Map::new(), None).unwrap();
    assert_eq!(take(&mut peer).await, json!({"event": "order.sent"}));
    world.shut_down().await;
}

/// plugd's own decision on `events_consumed`: a name keeps the rule, or is of the operator's catalogue.
#[tokio::test(start_paused = true)]
async fn a_name_that_no_manifest_may_consume_is_refused() {
    let world = mk_world().await;
    let any = mk_events(&world);
    let catalog = EventCatalog::from_names(["order.sent"]);
    let held = Events::new(world.handle.projection().clone(), catalog, |_, payload| Ok(payload));
    for (events, name) in [(&any, "not a name"), (&any, ""), (&held, "order.paid")] {
        let error = events.publish(name, Map::new(), None).unwrap_err();
        assert_eq!((error.reason, &*error.violations[0].field), (Reason::InvalidArgument, "name"));
    }
    assert!(held.publish("order.sent", Map::new(), None).is_ok());
    assert_eq!(world.state(), State::Inactive);
    world.shut_down().await;
}
