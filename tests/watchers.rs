//! Clients that open a stream and never read: nobody else may feel them.

use plugd::api::v1::{
    ReportedState::{Active, Inactive},
    StreamLogsRequest, WatchStateRequest,
};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;

use crate::harness::{Plugd, within};

/// Stalled clients of each kind.
pub(crate) const STALLED: usize = 10;
/// Toggles while they stall: each makes several changes, all larger than the stalled windows together.
const TOGGLES: usize = 25;

#[tokio::test]
async fn ten_stalled_clients_of_every_kind_change_nothing_for_anybody_else() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let talker = api.run(&["flood-logs", "2000"]).await;
    let mut healthy = api.live().await;
    let mut stalled = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stall(&plugd, &talker).await);
        sockets.push(open_and_never_read(&plugd, "/api/plugins/watch").await);
        sockets.push(open_and_never_read(&plugd, &format!("/api/plugins/{talker}/logs")).await);
    }

    let id = api.install(&["tame"]).await;
    for _ in 0..TOGGLES {
        api.activate(&id).await.unwrap();
        api.deactivate(&id).await.unwrap();
    }

    // The healthy watch fails on a gap.
    for _ in 0..TOGGLES {
        healthy.until_state(&id, Active).await;
        healthy.until_state(&id, Inactive).await;
    }
    let lines = api.logs(&talker).await.until("flooded 2000").await;
    assert!(lines.len() > 2000);
    assert_eq!(plugd.rest().get("/readyz").await.status, 200);
    drop((stalled, sockets));
}

/// A connection of small windows whose streams are opened and then left alone.
pub(crate) async fn stall(plugd: &Plugd, talker: &str) -> impl Sized + use<> {
    let endpoint = Endpoint::from_shared(plugd.url()).unwrap();
    let endpoint = endpoint.initial_stream_window_size(1024).initial_connection_window_size(65_535);
    let api = crate::harness::Api::over(endpoint, Some(plugd.token()));
    let watch = within("a watch", api.plugins().watch_state(WatchStateRequest::default())).await.unwrap();
    let request = StreamLogsRequest { plugin_ids: vec![talker.to_owned()], follow: true, ..Default::default() };
    let logs = within("a log", api.log_client().stream_logs(request)).await.unwrap();
    (watch, logs)
}

async fn open_and_never_read(plugd: &Plugd, path: &str) -> TcpStream {
    let request = format!("GET {path} HTTP/1.1\r\nhost: plugd\r\nauthorization: Bearer {}\r\n\r\n", plugd.token());
    plugd.dial(request.as_bytes()).await
}

#[tokio::test]
async fn stalled_clients_do_not_hold_up_a_shutdown() {
    let mut plugd = Plugd::start().await;
    let talker = plugd.api().run(&["flood-logs", "2000"]).await;
    plugd.api().logs(&talker).await.until("flooded").await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stall(&plugd, &talker).await);
    }

    let (status, _) = plugd.sigterm().await;

    assert!(status.success(), "{status}");
}
