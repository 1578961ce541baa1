//! Changes as server-sent events.

use crate::harness::{Cursor, Plugd, Rest, rest_shim};

const WATCH: &str = "/api/plugins/watch";

#[tokio::test]
async fn a_watch_of_events_resumes_by_last_event_id() {
    let plugd = Plugd::start().await;
    scenario(&plugd, plugd.rest()).await;
}

#[tokio::test]
async fn a_watch_of_events_resumes_by_last_event_id_through_the_shim() {
    let plugd = Plugd::start().await;
    let (_shim, rest) = rest_shim(&plugd).await;
    scenario(&plugd, rest).await;
}

async fn scenario(plugd: &Plugd, rest: Rest) {
    let api = plugd.api();
    let mut watch = rest.stream(WATCH, &[]);
    let events = watch.until(|event| event.name == "snapshot_end").await;
    assert_eq!(events[0].name, "opened");
    assert!(events[0].id.is_none(), "nothing to resume from before the snapshot is complete");
    let id = api.run(&["tame"]).await;
    let is_active = |event: &crate::harness::Event| {
        event.name == "changed" && event.json()["plugin"]["status"]["active_state"] == "active"
    };
    let seen = watch.until(is_active).await;
    assert_eq!((seen[0].name.as_str(), seen[0].json()["plugin_id"].as_str()), ("added", Some(id.as_str())));
    let revisions: Vec<u64> = seen.iter().map(crate::harness::Event::revision).collect();
    assert!(revisions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{revisions:?}");

    let header = format!("last-event-id: {}", seen[0].id.as_deref().unwrap());
    let mut resumed = rest.stream(WATCH, &[&header]);
    let again = resumed.until(is_active).await;
    assert_eq!(again[0].name, "opened");
    assert_eq!(again[1..], seen[1..]);

    let query = format!("{WATCH}?cursor={}", seen[0].id.as_deref().unwrap());
    assert_eq!(rest.stream(&query, &[]).until(is_active).await[1..], seen[1..]);
    let other = Cursor { epoch: "other".to_owned(), ..Cursor::parse(seen[0].id.as_deref().unwrap()) }.text();
    rest.get(&format!("{WATCH}?cursor={other}")).await.problem(410);
    let filtered = rest.get(&format!("{query}&state=active")).await.problem(400);
    assert!(filtered["detail"].as_str().unwrap().contains("the same filters"), "{filtered}");
    rest.send("GET", WATCH, crate::harness::Body::None, &["last-event-id: x"]).await.problem(400);
    rest.get(&format!("{WATCH}?state=unheard")).await.problem(400);
}

#[tokio::test]
async fn an_idle_watch_of_events_has_heartbeats_that_can_be_resumed_from() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let mut watch = rest.stream(&format!("{WATCH}?live_only=true&heartbeat_seconds=1"), &[]);
    let heartbeat = watch.until(|event| event.name == "heartbeat").await.pop().unwrap();
    let id = plugd.api().install(&["tame"]).await;
    let header = format!("last-event-id: {}", heartbeat.id.unwrap());
    let added = rest.stream(WATCH, &[&header]).until(|event| event.name == "added").await.pop().unwrap();
    assert_eq!(added.json()["plugin_id"], id);
}
