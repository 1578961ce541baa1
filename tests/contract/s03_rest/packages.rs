//! The package of a supervised plugin (CONTRACT 3.9, 3.10). Rollbacks, and what an update leaves of a plugin's own files:
//! `packages`, beside the contract.

use plugd::api::v1::{
    PluginEvent,
    ReportedState::{Active, Connecting, Inactive},
};
use serde_json::json;
use tokio::join;
use tonic::Code;

use crate::{
    contract::support::{download, replace, version_of, versioned},
    harness::{Body, Plugd, chaos, chaos_manifest, external_manifest, packaged, reason, state_of, status_of},
};

/// Takes a plugin's archive away from where plugd keeps it.
pub(super) async fn lose_the_package(plugd: &Plugd, id: &str) {
    let digest = plugd.api().get(id).await.unwrap().package_digest().to_owned();
    let hex = digest.trim_start_matches("sha256:");
    let stored: Vec<_> = plugd.files().into_iter().filter(|name| name.contains(hex)).collect();
    let [stored] = &stored[..] else { panic!("{stored:?}") };
    std::fs::remove_file(plugd.data_dir().join(stored)).unwrap();
}

/// The last upload; by either API.
#[tokio::test]
async fn the_package_comes_back_byte_for_byte_with_its_headers_3_9() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let first = versioned(1, "tame");
    let id = rest.install(first.clone()).await;
    let path = format!("/api/plugins/{id}/package");
    for archive in [first, versioned(2, "tame")] {
        rest.patch(&path, Body::Zip(archive.clone())).await.expect(200);
        let answer = rest.get(&path).await;
        assert_eq!((answer.status, answer.bytes == archive), (200, true));
        assert_eq!(answer.header("content-type"), Some("application/zip"));
        assert_eq!(answer.header("content-length"), Some(&*archive.len().to_string()));
        assert_eq!(answer.header("content-disposition"), Some("attachment; filename=chaos.zip"));
        let (header, bytes) = download(&api, &id).await.unwrap();
        assert_eq!((header.size, bytes == archive), (u64::try_from(archive.len()).unwrap(), true));
        assert_eq!(
            (header.file_name.as_str(), header.digest.as_str()),
            ("chaos.zip", api.get(&id).await.unwrap().package_digest())
        );
    }
    assert_eq!(download(&api, "9m4e2mr0ui3e8a215n4g").await.unwrap_err().code(), Code::NotFound);
}

/// The plugin is listed all the same (14).
#[tokio::test]
async fn a_package_that_is_missing_on_disk_is_404_3_9() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    lose_the_package(&plugd, &id).await;
    assert_eq!(rest.get(&format!("/api/plugins/{id}/package")).await.problem(404)["error"], "package_not_found");
    assert_eq!(rest.list().await.len(), 1);
}

#[tokio::test]
async fn an_external_plugin_has_no_package_3_9() {
    let plugd = Plugd::start().await;
    let id = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let problem = plugd.rest().get(&format!("/api/plugins/{id}/package")).await.problem(400);
    assert_eq!(problem["error"], "external_plugin");
}

/// Each request has everything wrong that comes later, too.
#[tokio::test]
async fn an_update_is_checked_in_this_order_3_10() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["id"] = json!("somebody-else");
    let foreign = packaged(&manifest);
    manifest["name"] = json!("");
    let broken = packaged(&manifest);
    let too_large = vec![0; 50 * 1024 * 1024 + 1];
    let update = async |id: &str, archive: &[u8]| {
        rest.patch(&format!("/api/plugins/{id}/package"), Body::Zip(archive.to_vec())).await
    };
    for archive in [&too_large, &Vec::new(), &b"garbage".to_vec(), &broken, &foreign] {
        assert_eq!(update("9m4e2mr0ui3e8a215n4g", archive).await.problem(404)["error"], "plugin_not_found");
        assert_eq!(update(&outside, archive).await.problem(400)["error"], "external_plugin");
    }
    assert_eq!(update(&id, &too_large).await.problem(413)["error"], "too_large");
    assert_eq!(update(&id, b"").await.problem(400)["error"], "invalid_argument");
    assert_eq!(update(&id, b"garbage").await.problem(400)["error"], "invalid_package");
    assert_eq!(update(&id, &broken).await.problem(400)["error"], "invalid_manifest");
    assert_eq!(update(&id, &foreign).await.problem(400)["error"], "manifest_id_mismatch");
}

/// Whatever the state; nothing is changed, nothing restarted.
#[tokio::test]
async fn a_package_with_another_id_is_400_with_the_prescribed_title_3_10() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let before = api.get(&id).await.unwrap();
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["id"] = json!("somebody-else");

    let problem = rest.patch(&format!("/api/plugins/{id}/package"), Body::Zip(packaged(&manifest))).await.problem(400);

    let title = "The uploaded package must have the same manifest ID as the installed plugin.";
    assert_eq!(problem["title"], title);
    let after = api.get(&id).await.unwrap();
    assert_eq!((&after.package_digest, after.generation), (&before.package_digest, before.generation));
    assert_eq!(status_of(&after).run_id, status_of(&before).run_id);
}

#[tokio::test]
async fn an_inactive_plugin_stays_inactive_and_an_active_one_runs_the_new_package_3_10() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    let updated = replace(&api, &id, versioned(2, "tame")).await.unwrap();
    assert_eq!((state_of(&updated), version_of(&updated)), (Inactive, 2));
    assert_eq!(Plugd::processes_of(&id), []);
    api.activate(&id).await.unwrap();
    let updated = replace(&api, &id, versioned(3, "tame")).await.unwrap();
    assert_eq!((state_of(&updated), version_of(&updated)), (Active, 3));
    let mut log = api.logs(&id).await;
    assert_eq!([log.find("whole ").await, log.find("whole ").await], ["2", "3"]);
}

/// plugd's own decision on updates: the watch shows the digest go and come back, and the caller is told why.
#[tokio::test]
async fn an_update_that_is_never_stable_is_taken_back_before_the_eyes_of_every_watcher_3_10() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    let old = api.activate(&id).await.unwrap();
    let mut watch = api.live().await;

    let failed = plugd.rest().patch(&format!("/api/plugins/{id}/package"), Body::Zip(versioned(2, "nonsense"))).await;

    let problem = failed.problem(502);
    assert!(problem["detail"].as_str().unwrap().contains("exit status 2"), "{problem}");
    let is_back = |event: &PluginEvent| {
        let plugin = event.plugin.as_ref().unwrap();
        plugin.package_digest == old.package_digest && state_of(plugin) == Active && plugin.generation > old.generation
    };
    let events = watch.until(is_back).await;
    let failures = events.iter().filter_map(|event| status_of(event.plugin.as_ref()?).failure.as_ref());
    let told: Vec<_> = failures.map(|failure| (failure.exit_code, &failure.going_back_to)).collect();
    assert!(told.contains(&(Some(2), &old.package_digest)), "{told:?}");
    let mut digests: Vec<_> =
        events.iter().map(|event| event.plugin.as_ref().unwrap().package_digest.clone()).collect();
    digests.dedup();
    assert_eq!(digests.len(), 2, "there, and back: {digests:?}");
    assert_ne!(digests[0], old.package_digest);
    assert_eq!(digests[1], old.package_digest);
    assert_eq!(api.get(&id).await.unwrap().previous_package_digest, None, "what failed is not gone back to");
    let mut log = api.logs(&id).await;
    log.find("whole 2").await;
    log.find("whole 1").await;
}

/// Whoever waits for a package is not told of another one that it runs, by either API.
#[tokio::test]
async fn an_update_whose_package_was_replaced_meanwhile_is_409_3_10() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let path = format!("/api/plugins/{id}/package");
    let mut watch = api.live().await;
    for version in [2, 4] {
        let later = async {
            watch.until(|event| event.plugin.as_ref().is_some_and(|plugin| version_of(plugin) == version)).await;
            watch.until_state(&id, Connecting).await;
            replace(&api, &id, versioned(version + 1, "tame")).await
        };
        if version == 2 {
            let (earlier, later) = join!(rest.patch(&path, Body::Zip(versioned(version, "hang"))), later);
            assert_eq!((&earlier.problem(409)["error"], version_of(&later.unwrap())), (&json!("superseded"), 3));
        } else {
            let (earlier, later) = join!(replace(&api, &id, versioned(version, "hang")), later);
            assert_eq!((reason(&earlier.unwrap_err()), version_of(&later.unwrap())), ("SUPERSEDED".to_owned(), 5));
        }
    }
}

#[tokio::test]
async fn an_errored_plugin_is_revived_by_a_good_package_3_10() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(versioned(1, "nonsense")).await;
    rest.set_active(&id, "active").await.problem(502);
    let path = format!("/api/plugins/{id}/package");
    let revived = rest.patch(&path, Body::Zip(versioned(2, "tame"))).await.expect(200);
    assert_eq!((&revived["version"], &revived["status"]["active_state"]), (&json!("2"), &json!("active")));
}

/// A value that the new schema would not take stays: it is not looked at again.
#[tokio::test]
async fn the_configuration_is_kept_and_not_looked_at_again_3_10() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["tame"])).await;
    rest.set_active(&id, "active").await.expect(200);
    let (path, configuration) = (format!("/api/plugins/{id}"), json!({"greeting": "kept"}));
    rest.patch(&format!("{path}/configuration"), Body::Json(configuration.clone())).await.expect(200);
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["configuration_schema"] = json!({"fields": [{"type": "number", "id": "greeting"}]});

    let updated = rest.patch(&format!("{path}/package"), Body::Zip(packaged(&manifest))).await.expect(200);

    assert_eq!(updated["status"]["active_state"], "active");
    assert_eq!(updated["plugd"]["restart_count"], 0);
    assert_eq!(rest.get(&format!("{path}/configuration")).await.expect(200), configuration);
}
