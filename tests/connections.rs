//! What happens to whom when there are too many connections.

use futures_util::future::join_all;
use plugd::api::v1::ReportedState::{Active, Inactive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    join,
    net::TcpStream,
};

use crate::harness::{Plugd, reason, state_of, status_of, within};

const PLACES: &[(&str, &str)] = &[("PLUGD_MAX_CONNECTIONS", "8")];

/// All that can be had without a credential: silence, HTTP/2 without a request, an archive that never comes.
const STRANGERS: [&[u8]; 3] = [
    b"",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"POST /api/plugins HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Type: application/zip\r\n\
      Content-Length: 50000000\r\n\r\n",
];

async fn crowd(plugd: &Plugd) -> Vec<TcpStream> {
    let mut strangers = Vec::new();
    for greeting in STRANGERS.iter().cycle().take(60) {
        let mut stream = within("a stranger's connection", TcpStream::connect(plugd.address())).await.unwrap();
        // One that was cut off already can't be written to.
        let _ = stream.write_all(greeting).await;
        strangers.push(stream);
    }
    strangers
}

#[tokio::test]
async fn a_crowd_without_credentials_keeps_nobody_out_and_cuts_nobody_off() {
    let plugd = Plugd::with(PLACES).await;
    let api = plugd.api();
    let mut watch = api.live().await;
    let mut watch_by_rest = plugd.rest().stream("/api/plugins/watch", &[]);
    assert!(watch_by_rest.head().await[0].contains("200"));
    let id = api.run(&["tame"]).await;
    let run = status_of(&watch.plugin_in(&id, Active).await).run_id.clone();

    let _strangers = crowd(&plugd).await;

    plugd.rest().get("/api/plugins").await.expect(200);
    let plugin = api.get(&id).await.unwrap();
    assert_eq!((state_of(&plugin), &status_of(&plugin).run_id), (Active, &run), "the plugin kept its WebSocket");
    api.deactivate(&id).await.unwrap();
    watch.until_state(&id, Inactive).await;
    while !watch_by_rest.event().await.expect("it goes on").data.contains("inactive") {}
}

#[tokio::test]
async fn the_connections_of_plugins_are_not_among_those_of_clients() {
    let plugd = Plugd::with(PLACES).await;
    let api = plugd.api();
    for _ in 0..12 {
        api.run(&["tame"]).await;
    }
    plugd.rest().get("/api/plugins").await.expect(200);
}

#[tokio::test]
async fn an_archive_of_nobody_is_refused_before_it_is_sent() {
    let plugd = Plugd::start().await;
    let mut stream = TcpStream::connect(plugd.address()).await.unwrap();
    stream.write_all(STRANGERS[2]).await.unwrap();
    let mut answer = vec![0; 12];
    within("the answer", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 401");
}

/// Those that wait are not read, and must leave room for those whose turn it is, and for other calls.
#[tokio::test]
async fn uploads_that_wait_for_their_turn_hold_up_nothing_else_on_their_connection() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let uploads = join_all((0..24).map(|_| api.upload(vec![0; 2 << 20])));
    let listing = async {
        for _ in 0..10 {
            within("a list", api.list()).await.unwrap();
        }
    };
    let (uploads, ()) = within("the uploads", async { join!(uploads, listing) }).await;
    for upload in uploads {
        assert_eq!(reason(&upload.unwrap_err()), "INVALID_PACKAGE");
    }
}
