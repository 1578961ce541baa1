//! What is done with plugins, whatever is measured of it.

use std::{
    io::{Cursor, Write},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use plugd::api::v1::{
    ActiveState, InstallPluginRequest, Plugin, RegisterExternalPluginRequest, SetActiveStateRequest,
    install_plugin_request as install,
};
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::server::{Plugins, greeter};

/// How many are installed, registered or started at the same time; also what plugd starts at the same time by default.
pub(crate) const AT_ONCE: usize = 8;

/// Installs so many plugins that run the greeter.
pub(crate) async fn install_many(client: &Plugins, count: usize) -> Vec<String> {
    let package = package(&greeter_manifest(), &[]);
    let installed = (0..count).map(|_| install(client.clone(), &package));
    stream::iter(installed).buffer_unordered(AT_ONCE).collect().await
}

/// Installs a package.
pub(crate) async fn install(mut client: Plugins, package: &[u8]) -> String {
    let part = |part| InstallPluginRequest { part: Some(part) };
    let header = part(install::Part::Header(install::Header::default()));
    let chunks = package.chunks(1 << 20).map(|chunk| part(install::Part::Chunk(chunk.to_vec())));
    let messages = std::iter::once(header).chain(chunks).collect::<Vec<_>>();
    let answer = client.install_plugin(tokio_stream::iter(messages)).await.unwrap();
    answer.into_inner().plugin.unwrap().id
}

/// A manifest that names the program where it is, so that laying it out takes no part in what is measured.
pub(crate) fn greeter_manifest() -> Value {
    json!({"id": "greeter", "author": "bench", "name": "Greeter", "command": greeter().to_str().unwrap()})
}

/// A package of a manifest and some files.
pub(crate) fn package(manifest: &Value, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("manifest.json", SimpleFileOptions::default()).unwrap();
    archive.write_all(manifest.to_string().as_bytes()).unwrap();
    for (name, bytes) in files {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Desires that a plugin runs or not: how long it took until it did.
pub(crate) async fn set(mut client: Plugins, id: &str, state: ActiveState) -> Duration {
    let request = desire(id, state);
    let began = Instant::now();
    client.set_active_state(request).await.unwrap();
    began.elapsed()
}

/// Desires the same of many plugins, so many of them at a time.
pub(crate) async fn set_many(client: &Plugins, ids: &[String], state: ActiveState) -> Duration {
    let began = Instant::now();
    let one = |id: String| {
        let client = client.clone();
        async move {
            set(client, &id, state).await;
        }
    };
    stream::iter(ids.to_vec()).for_each_concurrent(AT_ONCE, one).await;
    began.elapsed()
}

pub(crate) fn desire(id: &str, state: ActiveState) -> SetActiveStateRequest {
    SetActiveStateRequest { plugin_id: id.to_owned(), active_state: state.into(), ..Default::default() }
}

/// Registers so many plugins that plugd does not run, which want to hear of an event.
pub(crate) async fn register_many(client: &Plugins, count: usize) -> Vec<Plugin> {
    let registered = (0..count).map(|_| register(client.clone()));
    stream::iter(registered).buffer_unordered(AT_ONCE).collect().await
}

/// Registers one.
pub(crate) async fn register(mut client: Plugins) -> Plugin {
    let events = [crate::bus::EVENT];
    let manifest = json!({"id": "outside", "author": "bench", "name": "Outside", "events_consumed": events});
    let manifest = plugd::api::json::to_struct(manifest.as_object().unwrap()).unwrap();
    let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
    client.register_external_plugin(request).await.unwrap().into_inner().plugin.unwrap()
}
