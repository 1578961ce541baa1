//! The bus between plugins and applications that live in memory, under paused time.

pub(crate) mod bridge;
mod calls;
mod events;
mod hosts;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    domain::{Plugin, manifest::Manifest},
    link::{Acceptor, Handshake, Session, fake::FakePeer},
    supervisor::tests::world::{Behaviour, World},
};

/// A world whose own plugin rests.
pub(crate) async fn mk_world() -> World {
    World::new(Behaviour::Hangs).await
}

/// Registers an external plugin with these members in its manifest.
async fn register(world: &World, id: &str, members: Value) -> Arc<Plugin> {
    let mut manifest = json!({"id": id, "author": "a", "name": id, "command": ""});
    manifest.as_object_mut().unwrap().extend(object(members));
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    world.handle.register_external(manifest, None).await.unwrap()
}

/// Dials in for an external plugin.
async fn dial(world: &World, plugin: &Plugin) -> FakePeer {
    let token = world.handle.get(plugin.id).unwrap().desired.token.as_ref().unwrap().expose().to_owned();
    let handshake = Handshake { plugin_id: None, token, user_agent: String::new() };
    let authenticated = world.handle.authenticate(handshake).await.unwrap();
    let (session, peer) = Session::channel("");
    world.handle.attach(authenticated, session).await.unwrap();
    peer
}

/// An external plugin that consumes these events, and is connected.
async fn consumer(world: &World, id: &str, events: &[&str]) -> (Arc<Plugin>, FakePeer) {
    let plugin = register(world, id, json!({"events_consumed": events})).await;
    let peer = dial(world, &plugin).await;
    (plugin, peer)
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
