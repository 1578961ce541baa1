//! CONTRACT 5, the manifest: each rule at every way in, which are the package, the registration and, for an external
//! plugin, its next manifest.
//!
//! Held elsewhere: hostile nesting and random JSON (`domain::manifest::tests`), an empty command at its start
//! (`s08_supervised`), the names that `--event-catalog storyden` knows (`s12_events`), permissions when a plugin asks
//! for them (`s13_identity`).

mod capabilities;
mod fields;
mod forms;

use serde_json::{Map, Value, json};

use crate::harness::{Answer, Body, Plugd, external_manifest, packaged};

/// The least that a manifest must have, with these members.
fn with(members: &Value) -> Value {
    let mut manifest = json!({"id": "greeter", "author": "plugd", "name": "Greeter"});
    manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    manifest
}

/// The same without one of its members.
fn without(key: &str) -> Value {
    let mut manifest = with(&json!({}));
    manifest.as_object_mut().unwrap().remove(key);
    manifest
}

fn registration(manifest: &Value) -> Body {
    Body::Json(json!({"mode": "external", "manifest": manifest}))
}

async fn register(plugd: &Plugd, manifest: &Value) -> Answer {
    plugd.rest().post("/api/plugins", registration(manifest)).await
}

/// The normalised form of a manifest, which must be taken by every way in and be the same by each.
async fn taken(plugd: &Plugd, manifest: &Value) -> Value {
    let rest = plugd.rest();
    let installed = rest.post("/api/plugins", Body::Zip(packaged(manifest))).await.expect(200);
    let registered = register(plugd, manifest).await.expect(200);
    let other = register(plugd, &external_manifest("outside")).await.expect(200);
    let path = format!("/api/plugins/{}/manifest", other["id"].as_str().unwrap());
    let replaced = rest.patch(&path, Body::Json(manifest.clone())).await.expect(200);
    assert_eq!(installed["manifest"], registered["manifest"], "{manifest}");
    assert_eq!(installed["manifest"], replaced["manifest"], "{manifest}");
    installed["manifest"].clone()
}

/// The title with which a manifest is refused, by every way in; nothing is left behind.
async fn refused(plugd: &Plugd, manifest: &Value) -> String {
    let rest = plugd.rest();
    let other = register(plugd, &external_manifest("outside")).await.expect(200);
    let path = format!("/api/plugins/{}", other["id"].as_str().unwrap());
    let before = rest.list().await.len();
    let registered = register(plugd, manifest).await.problem(400);
    let installed = rest.post("/api/plugins", Body::Zip(packaged(manifest))).await.problem(400);
    let replaced = rest.patch(&format!("{path}/manifest"), Body::Json(manifest.clone())).await.problem(400);
    let title = registered["title"].as_str().unwrap().to_owned();
    assert_eq!(installed["title"], format!("The provided plugin file is invalid: {title}"));
    assert_eq!(replaced["title"], title);
    assert_eq!(rest.list().await.len(), before, "a row is left behind");
    assert_eq!(rest.get(&path).await.expect(200)["manifest"], other["manifest"]);
    assert_eq!(rest.delete(&path).await.status, 204);
    title
}

/// Each of these is refused with exactly this line.
async fn assert_refused(cases: impl IntoIterator<Item = (Value, impl AsRef<str>)>) {
    let plugd = Plugd::start().await;
    for (manifest, line) in cases {
        assert_eq!(refused(&plugd, &manifest).await, line.as_ref(), "{manifest}");
    }
}

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    object.as_object().map(Map::keys).unwrap().map(String::as_str).collect()
}
