//! What is Storyden's alone, with plugins and applications that live in memory, under paused time.

mod access_get;
mod events;
mod robot_run;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Credentials, Storyden};
use crate::{
    bus::tests::{
        bridge::{Fixture, mk_caller},
        mk_world, object,
    },
    domain::id::is_xid,
    link::RpcError,
};

/// A plugin with this manifest, which calls Storyden.
async fn mk_fixture_of(manifest: Value, fallback: Option<Credentials>) -> Fixture {
    Fixture::with(manifest, |bridge| Arc::new(Storyden::new(bridge, fallback))).await
}
