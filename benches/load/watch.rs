//! Watches: from a change to the last of many watchers that hears of it, against a broadcast that stores nothing.

use std::time::Instant;

use plugd::api::v1::{
    Plugin, PluginEvent, RegisterExternalPluginRequest, RotateTokenRequest, WatchStateRequest,
    watch_state_request::Start, watch_state_response::Frame,
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    bare,
    figures::{Report, Samples},
    server::{Bare, Plugd, Plugins},
};

/// Watchers at once, ten a connection.
const WATCHERS: usize = 100;
const WATCHERS_OF_A_CONNECTION: usize = 10;
/// Changes, one after the other.
const CHANGES: usize = 200;

pub(crate) async fn measure(plugd: &Plugd, bare: &Bare, report: &mut Report) {
    let of_plugd = of_plugd(plugd).await;
    let of_bare = of_bare(bare).await;
    report.times(&format!("a change until {WATCHERS} watchers have it"), &of_plugd, &of_bare);
}

/// Registers a plugin that nobody runs.
pub(crate) async fn register(client: &mut Plugins) -> Plugin {
    let manifest = json!({"id": "watched", "author": "bench", "name": "Watched"});
    let manifest = plugd::api::json::to_struct(manifest.as_object().unwrap()).unwrap();
    let request = RegisterExternalPluginRequest { manifest: Some(manifest), request_id: None };
    client.register_external_plugin(request).await.unwrap().into_inner().plugin.unwrap()
}

/// The change is a new token: one write that is stored before anybody hears of it.
async fn of_plugd(plugd: &Plugd) -> Samples {
    let mut client = plugd.client().await;
    let plugin_id = register(&mut client).await.id;
    let (heard, mut hears) = mpsc::unbounded_channel();
    for _ in 0..WATCHERS / WATCHERS_OF_A_CONNECTION {
        let client = plugd.client().await;
        for _ in 0..WATCHERS_OF_A_CONNECTION {
            watch(client.clone(), heard.clone()).await;
        }
    }
    let mut rounds = Vec::with_capacity(CHANGES);
    for _ in 0..CHANGES {
        let began = Instant::now();
        client.rotate_token(RotateTokenRequest { plugin_id: plugin_id.clone(), if_generation: None }).await.unwrap();
        all_heard(&mut hears).await;
        rounds.push(began.elapsed());
    }
    Samples::new(rounds)
}

/// Opens a watch, and says whenever it hears of a change.
async fn watch(mut client: Plugins, heard: mpsc::UnboundedSender<()>) {
    let request = WatchStateRequest { start: Some(Start::LiveOnly(true)), ..WatchStateRequest::default() };
    let mut frames = client.watch_state(request).await.unwrap().into_inner();
    let opened = frames.message().await.unwrap().unwrap();
    assert!(matches!(opened.frame, Some(Frame::Opened(_))));
    tokio::spawn(async move {
        while let Ok(Some(frame)) = frames.message().await {
            let Some(Frame::Events(batch)) = frame.frame else { continue };
            for _ in batch.events {
                let _ = heard.send(());
            }
        }
    });
}

async fn of_bare(bare: &Bare) -> Samples {
    let (heard, mut hears) = mpsc::unbounded_channel();
    for _ in 0..WATCHERS / WATCHERS_OF_A_CONNECTION {
        let channel = bare.channel().await;
        for _ in 0..WATCHERS_OF_A_CONNECTION {
            let mut events = bare::listen(channel.clone()).await;
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Ok(Some(_)) = events.message().await {
                    let _ = heard.send(());
                }
            });
        }
    }
    let mut client = tonic::client::Grpc::new(bare.channel().await);
    let mut rounds = Vec::with_capacity(CHANGES);
    for revision in 0..CHANGES {
        let event = PluginEvent { revision: revision.try_into().unwrap(), ..PluginEvent::default() };
        let began = Instant::now();
        bare::publish(&mut client, event).await;
        all_heard(&mut hears).await;
        rounds.push(began.elapsed());
    }
    Samples::new(rounds)
}

async fn all_heard(hears: &mut mpsc::UnboundedReceiver<()>) {
    for _ in 0..WATCHERS {
        hears.recv().await.unwrap();
    }
}
