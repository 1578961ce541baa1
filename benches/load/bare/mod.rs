//! The server that plugd is compared with: the same libraries, and nothing but what can't be left out. It keeps no records,
//! asks for no token and writes nothing to a disk.

mod client;
mod rpc;
mod web;

use std::sync::{Arc, Mutex};

use axum::{body::Bytes, extract::ws::Utf8Bytes};
pub(crate) use client::Client;
use plugd::api::v1::{ListPluginsResponse, PluginEvent};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc, oneshot},
};
use tonic::transport::{Server, server::TcpIncoming};

/// More than a listener is ever behind.
const BEHIND: usize = 1024;

/// What all connections share.
#[derive(Clone)]
struct Shared {
    /// What a read of one plugin, or of a page of them, is answered with.
    plugins: Arc<Mutex<ListPluginsResponse>>,
    /// What a GET is answered with.
    bytes: Arc<Mutex<Bytes>>,
    /// To those that watch.
    events: broadcast::Sender<PluginEvent>,
    /// To all WebSockets.
    messages: broadcast::Sender<Utf8Bytes>,
    /// To the WebSocket that is called.
    calls: mpsc::Sender<Call>,
    callee: Arc<tokio::sync::Mutex<mpsc::Receiver<Call>>>,
}

/// A message, and where the answer goes.
type Call = (Utf8Bytes, oneshot::Sender<Utf8Bytes>);

/// Serves until it is killed.
pub(crate) async fn serve() {
    let (calls, callee) = mpsc::channel(BEHIND);
    let shared = Shared {
        plugins: Arc::default(),
        bytes: Arc::default(),
        events: broadcast::Sender::new(BEHIND),
        messages: broadcast::Sender::new(BEHIND),
        calls,
        callee: Arc::new(tokio::sync::Mutex::new(callee)),
    };
    let (rpc, web) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    eprintln!("serving on {} {}", rpc.local_addr().unwrap(), web.local_addr().unwrap());
    let router = web::router(shared.clone());
    tokio::spawn(async move { axum::serve(axum::serve::ListenerExt::tap_io(web, no_delay), router).await });
    let incoming = TcpIncoming::from(rpc).with_nodelay(Some(true));
    Server::builder().add_service(rpc::Bare(shared)).serve_with_incoming(incoming).await.unwrap();
}

fn no_delay(stream: &mut tokio::net::TcpStream) {
    stream.set_nodelay(true).unwrap();
}
