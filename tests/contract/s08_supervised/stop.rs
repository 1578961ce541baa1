//! 8.4, 8.5 and 8.6: the ways in which a run is ended.

use plugd::api::v1::ReportedState::{Inactive, Restarting, Stopping};
use serde_json::json;

use super::script;
use crate::{
    contract::support::{publish, replace},
    harness::{Knobs, Plugd, chaos, chaos_manifest, message_of, reason, state_of, states, status_of, zipped},
};

const SHORT_GRACE: Knobs = &[("PLUGD_BACKOFF", "20ms"), ("PLUGD_GRACE", "300ms")];

#[tokio::test]
async fn a_plugin_that_ignores_sigint_is_killed_8_4() {
    let plugd = Plugd::with(SHORT_GRACE).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;

    let plugin = api.deactivate(&id).await.unwrap();

    assert_eq!(state_of(&plugin), Inactive);
    assert_eq!(Plugd::processes_of(&id), []);
    api.logs(&id).await.until("ignoring SIGINT").await;
}

#[tokio::test]
async fn a_stop_during_a_backoff_cancels_it_8_4() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "24h"), ("PLUGD_MAX_BACKOFF", "24h")]).await;
    let api = plugd.api();
    for rest in [None, Some(plugd.rest())] {
        let id = api.install(&["exit", "1"]).await;
        let mut watch = api.live().await;
        api.begin(&id).await;
        watch.until_state(&id, Restarting).await;

        // The harness fails what takes more than a fraction of the backoff.
        match rest {
            Some(rest) => drop(rest.set_active(&id, "inactive").await.expect(200)),
            None => assert_eq!(state_of(&api.deactivate(&id).await.unwrap()), Inactive),
        }

        assert_eq!(states(&watch.until_state(&id, Inactive).await, &id), [Restarting, Inactive]);
    }
}

#[tokio::test]
async fn a_stop_in_error_clears_it_to_inactive_8_4() {
    let plugd = Plugd::with(&[("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    let api = plugd.api();
    let id = api.install(&["exit", "1"]).await;
    api.activate(&id).await.unwrap_err();

    let plugin = api.deactivate(&id).await.unwrap();

    assert_eq!((state_of(&plugin), message_of(&plugin)), (Inactive, ""));
}

#[tokio::test]
async fn a_deletion_stops_the_plugin_first_and_removes_its_files_8_6() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let before = plugd.files();
    let id = api.run(&["grandchild"]).await;
    let mut watch = api.live().await;

    api.delete(&id).await.unwrap();

    assert_eq!(Plugd::processes_of(&id), []);
    assert_eq!(reason(&api.get(&id).await.unwrap_err()), "PLUGIN_NOT_FOUND");
    let last = watch.until(|event| event.kind() == plugd::api::v1::plugin_event::Kind::Removed).await;
    assert_eq!(last.last().unwrap().plugin_id, id);
    let left: Vec<_> = plugd.files().into_iter().filter(|name| name.contains(&id)).collect();
    assert_eq!(left, [] as [String; 0], "before: {before:?}");
}

#[tokio::test]
async fn an_exit_code_after_a_stop_is_no_crash_8_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = plugd.rest().install(script("trap 'echo asked; exit 7' INT; chaos tame & wait")).await;
    api.activate(&id).await.unwrap();
    let stopped = plugd.rest().set_active(&id, "inactive").await.expect(200);
    assert_eq!(stopped["status"]["active_state"], "inactive");
    assert_eq!(message_of(&api.get(&id).await.unwrap()), "");
    api.logs(&id).await.until("asked").await;
}

/// As the Python SDK does: SIGINT becomes `KeyboardInterrupt`, which leaves the connection with a close handshake.
#[tokio::test]
async fn a_python_plugin_that_says_goodbye_at_sigint_is_answered_and_not_killed_8_4() {
    const MAIN: &str = r#"
import asyncio, os
from websockets.asyncio.client import connect

async def main():
    async with connect(os.environ["STORYDEN_RPC_URL"]) as socket:
        try:
            print("ready", flush=True)
            async for _ in socket:
                pass
        finally:
            await socket.close()
            print("goodbye", socket.close_code, flush=True)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"#;
    // A kill would come long after the test has given up: only an answer ends this plugin.
    let plugd = Plugd::with(&[("PLUGD_GRACE", "1h")]).await;
    let mut manifest = chaos_manifest(&["main.py"]);
    manifest["command"] = json!("python3");
    let manifest = manifest.to_string();
    let archive = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("main.py", MAIN.as_bytes(), 0o644)]);
    let id = plugd.rest().install(archive).await;
    plugd.rest().set_active(&id, "active").await.expect(200);
    // The library proves that it lives before this program has its connection.
    let mut log = plugd.api().logs(&id).await;
    log.until("ready").await;
    plugd.rest().set_active(&id, "inactive").await.expect(200);
    assert_eq!(log.find("goodbye ").await, "1000");
    log.until("interrupted").await;
}

#[tokio::test]
async fn leaving_active_closes_the_subscriptions_at_once_8_7() {
    let mut plugd = Plugd::with(&[("PLUGD_GRACE", "1h")]).await;
    let api = plugd.api();
    let id = api.run(&["stubborn"]).await;
    let event = json!({"id": "9m4e2mr0ui3e8a215n4g"});
    assert_eq!(publish(&api, "EventThreadPublished", &event).await, (1, 1));
    let mut watch = api.live().await;
    tokio::select! {
        biased;
        _ = watch.until_state(&id, Stopping) => {}
        answer = api.deactivate(&id) => panic!("{answer:?}"),
    }
    assert_eq!(publish(&api, "EventThreadPublished", &event).await, (0, 0));
    plugd.kill_9().await;
}

#[tokio::test]
async fn another_package_starts_with_a_new_budget_and_nothing_said_8_5() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "24h"), ("PLUGD_MAX_BACKOFF", "24h")]).await;
    let api = plugd.api();
    let id = api.install(&["exit", "1"]).await;
    let mut watch = api.live().await;
    api.begin(&id).await;
    let waiting = watch.plugin_in(&id, Restarting).await;
    assert_eq!((message_of(&waiting), status_of(&waiting).restart_count), ("exit status 1", 1));

    let updated = replace(&api, &id, chaos(&["tame"])).await.unwrap();

    assert_eq!((message_of(&updated), status_of(&updated).restart_count), ("", 0));
}
