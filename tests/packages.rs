//! Updates and rollbacks of packages.

use plugd::api::v1::{
    Plugin,
    ReportedState::{Active, Inactive},
    RollbackPackageRequest, UpdatePackageRequest, update_package_request as update,
};
use serde_json::json;
use tonic::Status;

use crate::harness::{Api, Body, Plugd, chaos, chaos_manifest, packaged, reason, state_of, status_of, within, zipped};

async fn replace(api: &Api, id: &str, archive: Vec<u8>) -> Result<Plugin, Status> {
    let header = update::Header { plugin_id: id.to_owned(), ..Default::default() };
    let parts = [update::Part::Header(header), update::Part::Chunk(archive)];
    let messages = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    let answer = within("an update", api.plugins().update_package(tokio_stream::iter(messages))).await?;
    Ok(answer.into_inner().plugin.unwrap())
}

fn versioned(version: &str, args: &[&str]) -> Vec<u8> {
    let mut manifest = chaos_manifest(args);
    manifest["version"] = json!(version);
    packaged(&manifest)
}

#[tokio::test]
async fn an_update_of_an_active_plugin_runs_the_new_package() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let before = api.get(&id).await.unwrap();

    let after = replace(&api, &id, versioned("2.0.0", &["tame"])).await.unwrap();

    assert_eq!((state_of(&after), after.version.as_str()), (Active, "2.0.0"));
    assert_ne!(status_of(&after).run_id, status_of(&before).run_id);
    assert_eq!(after.previous_package_digest, before.package_digest);
    assert_eq!(Plugd::processes_of(&id).len(), 1);
}

#[tokio::test]
async fn an_update_of_an_inactive_plugin_starts_nothing_contract_3_10() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let after = replace(&api, &id, versioned("2.0.0", &["tame"])).await.unwrap();
    assert_eq!((state_of(&after), after.version.as_str()), (Inactive, "2.0.0"));
    assert_eq!(Plugd::processes_of(&id), []);
}

#[tokio::test]
async fn an_update_that_does_not_become_stable_goes_back_to_the_previous_package() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let before = api.get(&id).await.unwrap();
    let mut watch = api.live().await;

    let failed = replace(&api, &id, versioned("2.0.0", &["exit", "7"])).await.unwrap_err();

    assert_eq!(reason(&failed), "PLUGIN_FAILED");
    assert!(failed.message().contains("exit status 7"), "{failed}");
    let is_back = |plugin: &Plugin| state_of(plugin) == Active && plugin.package_digest == before.package_digest;
    let back = watch.until(|event| event.plugin.as_ref().is_some_and(is_back)).await.pop().unwrap().plugin.unwrap();
    assert_eq!(back.version, "1.0.0");
}

#[tokio::test]
async fn an_errored_plugin_is_revived_by_a_good_package_contract_3_10() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["exit", "7"]).await;
    api.activate(&id).await.unwrap_err();

    let path = format!("/api/plugins/{id}/package");
    let revived = plugd.rest().patch(&path, Body::Zip(versioned("2.0.0", &["tame"]))).await.expect(200);

    assert_eq!(revived["status"]["active_state"], "active");
}

#[tokio::test]
async fn a_rollback_goes_back_once_and_says_when_there_is_nothing_to_go_back_to() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let request = || RollbackPackageRequest { plugin_id: id.clone(), ..Default::default() };
    let refused = api.plugins().rollback_package(request()).await.unwrap_err();
    assert_eq!(reason(&refused), "NO_PREVIOUS_PACKAGE");
    replace(&api, &id, versioned("2.0.0", &["tame"])).await.unwrap();

    let back = within("a rollback", api.plugins().rollback_package(request())).await.unwrap();

    let back = back.into_inner().plugin.unwrap();
    assert_eq!((state_of(&back), back.version.as_str()), (Active, "1.0.0"));
    assert_eq!(plugd.rest().get(&format!("/api/plugins/{id}/package")).await.bytes, chaos(&["tame"]));
}

#[tokio::test]
async fn an_update_removes_what_the_old_package_brought_and_keeps_what_the_plugin_wrote() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let manifest = chaos_manifest(&["crash-once", "marker"]).to_string();
    let with = |name: &str| zipped(&[("manifest.json", manifest.as_bytes(), 0o644), (name, b"x", 0o755)]);
    let id = api.upload(with("old/old.txt")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let install = plugd.data_dir().join("plugins").join(&id);
    assert!(install.join("old/old.txt").is_file() && install.join("marker").is_file());

    replace(&api, &id, with("new/new.txt")).await.unwrap();

    assert!(!install.join("old/old.txt").exists(), "brought by the old package");
    assert!(install.join("new/new.txt").is_file() && install.join("marker").is_file());
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(install.join("new/new.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111 & mode, "permissions are the archive's");
    assert_ne!(mode & 0o100, 0);
}
