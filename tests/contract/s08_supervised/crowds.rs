//! Many at once: sizes that must hold whatever the machine. Times are printed, not judged.

#![allow(clippy::print_stdout, reason = "times are reported, not judged")]

use plugd::api::v1::{ListPluginsRequest, WatchStateRequest, watch_state_response::Frame};
use prost::Message;
use serde_json::json;
use tokio::time::Instant;

use crate::contract::support::external;
use crate::harness::{Plugd, within};

const CROWD: usize = 1000;
/// What gRPC clients take by default, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Large manifests, many plugins: pages and chunks of the watch stay under what clients take, and everything is there.
#[tokio::test]
async fn a_thousand_plugins_with_large_manifests_are_listed_in_pages_and_watched_in_chunks() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let began = Instant::now();
    let members = json!({"description": "d".repeat(50 << 10)});
    for number in 0..CROWD {
        api.register(&external(&format!("crowd-{number}"), &members)).await.unwrap();
    }
    println!("registered {CROWD} in {:?}", began.elapsed());

    let (began, mut token, mut listed, mut pages) = (Instant::now(), String::new(), 0, 0);
    loop {
        let request = ListPluginsRequest { page_size: 1000, page_token: token, ..Default::default() };
        let page = within("a page", api.plugins().list_plugins(request)).await.unwrap().into_inner();
        assert!(page.encoded_len() < MESSAGE_LIMIT, "a page of {} bytes", page.encoded_len());
        (listed, pages) = (listed + page.plugins.len(), pages + 1);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, CROWD);
    println!("listed in {pages} pages in {:?}", began.elapsed());

    let (began, mut seen, mut chunks) = (Instant::now(), 0, 0);
    let mut watch = api.watch(WatchStateRequest::default()).await.unwrap();
    loop {
        match watch.frame().await.unwrap() {
            Frame::Snapshot(chunk) => {
                assert!(chunk.encoded_len() < MESSAGE_LIMIT, "a chunk of {} bytes", chunk.encoded_len());
                (seen, chunks) = (seen + chunk.plugins.len(), chunks + 1);
            }
            Frame::SnapshotEnd(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, CROWD);
    assert!(chunks > 1);
    println!("watched in {chunks} chunks in {:?}", began.elapsed());

    let began = Instant::now();
    let rest = plugd.rest();
    assert_eq!(rest.list().await.len(), CROWD);
    println!("GET /api/plugins in {:?}", began.elapsed());
}
