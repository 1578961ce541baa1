//! Many clients at once, some of which never read.

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Inactive},
};
use tokio::task::JoinSet;

use super::{lone::Lone, repeat, rounds};
use crate::{
    contract::support::settle,
    harness::{Api, Plugd, reason},
    watchers::{STALLED, stall},
};

const CLIENTS: usize = 50;

/// CONTRACT, several changes at once: each call is answered, OK or 409, and the last desired state is what is reached.
#[tokio::test]
async fn fifty_clients_toggle_a_plugin_beside_ten_stalled_watchers() {
    let toggles = rounds(4, 200);
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let talker = api.run(&["flood-logs", "2000"]).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(stall(&plugd, &talker).await);
    }
    let plugin = Lone::install(&plugd, "tame").await;
    let mut healthy = api.live().await;
    repeat(&format!("50 clients × {toggles} toggles beside ten stalled watchers"), rounds(1, 3), async |_| {
        let clients: JoinSet<_> =
            (0..CLIENTS).map(|client| toggle(plugd.api(), plugin.id.clone(), client, toggles)).collect();
        clients.join_all().await;

        let before = api.get(&plugin.id).await.unwrap();
        let wanted = if before.active_state() == ActiveState::Active { Active } else { Inactive };
        settle(&plugd, &plugin.id, wanted).await;
        let after = api.get(&plugin.id).await.unwrap();
        assert_eq!((after.generation, after.active_state), (before.generation, before.active_state));
        assert_eq!(Plugd::processes_of(&plugin.id).len(), usize::from(wanted == Active));
        plugin.stop(&api).await;
        // The watch fails on a gap.
        let last = api.live().await.cursor.revision;
        let events = healthy.until(|event| event.revision >= last).await;
        plugin.assert_one_at_a_time(&events);
    })
    .await;
    drop(stalled);
}

async fn toggle(api: Api, id: String, client: usize, toggles: usize) {
    for turn in 0..toggles {
        let answer = match (client + turn).is_multiple_of(2) {
            true => api.activate(&id).await,
            false => api.deactivate(&id).await,
        };
        if let Err(error) = answer {
            assert_eq!((error.code(), reason(&error).as_str()), (tonic::Code::Aborted, "SUPERSEDED"), "{error}");
        }
    }
}
