//! Reading and deleting plugins (CONTRACT 3.1, 3.3, 3.4).

use serde_json::{Value, json};

use crate::harness::{Body, Plugd, chaos, external_manifest};

#[tokio::test]
async fn the_list_has_every_plugin_as_a_read_of_it_has_it_3_1_3_3() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let active = rest.install(chaos(&["tame"])).await;
    let active = rest.set_active(&active, "active").await.expect(200);
    let inactive = rest.post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    let body = json!({"mode": "external", "manifest": external_manifest("outside")});
    let external = rest.post("/api/plugins", Body::Json(body)).await.expect(200);
    let all = [active, inactive, external];
    assert_eq!(rest.list().await, all);
    for plugin in &all {
        assert_eq!(rest.get(&format!("/api/plugins/{}", plugin["id"].as_str().unwrap())).await.expect(200), *plugin);
    }
}

/// Without a session, and after a restart of plugd.
#[tokio::test]
async fn a_plugin_that_was_never_started_is_inactive_3_1() {
    let mut plugd = Plugd::start().await;
    let before = plugd.rest().post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    assert!(plugd.sigterm().await.0.success());
    plugd.restart().await;
    let [after] = &plugd.rest().list().await[..] else { panic!("not one plugin") };
    assert_eq!(after["status"]["active_state"], "inactive");
    for key in ["id", "added_at", "manifest", "connection", "status"] {
        assert_eq!(after[key], before[key], "{key}");
    }
}

/// The archive is out of reach at once; its file goes with a later sweep (`leftovers`).
#[tokio::test]
async fn a_deletion_stops_the_plugin_and_leaves_no_record_and_no_archive_3_4() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    rest.set_active(&id, "active").await.expect(200);
    let path = format!("/api/plugins/{id}");
    let archive = format!("{path}/package");
    assert_eq!(rest.get(&archive).await.status, 200);

    let deleted = rest.delete(&path).await;

    assert_eq!((deleted.status, deleted.bytes.len()), (204, 0));
    assert_eq!(Plugd::processes_of(&id), []);
    rest.get(&path).await.problem(404);
    rest.delete(&path).await.problem(404);
    rest.get(&archive).await.problem(404);
    assert_eq!(rest.list().await, [] as [Value; 0]);
    let left = plugd.files();
    assert!(!left.iter().any(|name| name.contains(&id)), "{left:?}");
}

#[tokio::test]
async fn a_deletion_does_not_need_the_archive_3_4() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    super::packages::lose_the_package(&plugd, &id).await;
    assert_eq!(rest.delete(&format!("/api/plugins/{id}")).await.status, 204);
}

/// The reference gives up after 5 s with 500; plugd kills what does not end.
#[tokio::test]
async fn a_stubborn_plugin_is_killed_and_deleted_3_4() {
    let plugd = Plugd::with(&[("PLUGD_GRACE", "100ms")]).await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["stubborn"])).await;
    rest.set_active(&id, "active").await.expect(200);
    assert_eq!(rest.delete(&format!("/api/plugins/{id}")).await.status, 204);
    assert_eq!(Plugd::processes_of(&id), []);
}
