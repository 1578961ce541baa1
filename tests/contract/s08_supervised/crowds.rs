//! Many at once: sizes that must hold whatever the machine. Times are printed, not judged.

#![allow(clippy::print_stdout, reason = "times are reported, not judged")]

use plugd::api::v1::{
    ActiveState, ListPluginsRequest, SetActiveStateRequest, WatchStateRequest, watch_state_response::Frame,
};
use prost::Message;
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use crate::contract::support::{external, settle};
use crate::harness::{Api, Plugd, reason, state_of, within};

const CLIENTS: u32 = 50;
const CALLS: u32 = 4;
const CROWD: usize = 1000;
/// What gRPC clients take by default, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// CONTRACT, several changes at once: each call is answered, OK or 409, and the last desired state is what is reached.
#[tokio::test]
async fn two_hundred_toggles_by_fifty_clients_are_all_answered_and_end_as_last_desired() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(toggle(plugd.api(), id.clone(), client));
    }
    let answers: Vec<_> = within("the toggles", clients.join_all()).await.into_iter().flatten().collect();
    assert_eq!(answers.len(), usize::try_from(CLIENTS * CALLS).unwrap());
    let superseded = answers.iter().filter(|answer| answer.is_err()).count();
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!((error.code(), reason(error).as_str()), (tonic::Code::Aborted, "SUPERSEDED"), "{error}");
    }
    println!("{} toggles in {:?}, {superseded} superseded", answers.len(), began.elapsed());

    let plugin = plugd.api().get(&id).await.unwrap();
    let wanted = match plugin.active_state() {
        ActiveState::Active => plugd::api::v1::ReportedState::Active,
        _ => plugd::api::v1::ReportedState::Inactive,
    };
    settle(&plugd, &id, wanted).await;
    let settled = plugd.api().get(&id).await.unwrap();
    assert_eq!((settled.generation, settled.active_state), (plugin.generation, plugin.active_state));
    let processes = Plugd::processes_of(&id).len();
    assert_eq!(processes, usize::from(state_of(&settled) == plugd::api::v1::ReportedState::Active));
}

async fn toggle(api: Api, id: String, client: u32) -> Vec<Result<(), tonic::Status>> {
    let mut answers = Vec::new();
    for turn in 0..CALLS {
        let state = if (client + turn).is_multiple_of(2) { ActiveState::Active } else { ActiveState::Inactive };
        let request = SetActiveStateRequest { plugin_id: id.clone(), active_state: state.into(), ..Default::default() };
        let answer = within("a toggle", api.plugins().set_active_state(request)).await;
        answers.push(answer.map(|answer| {
            let plugin = answer.into_inner().plugin.unwrap();
            assert!(plugin.status.is_some());
        }));
    }
    answers
}

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
