//! Packages over the wire (CONTRACT 3.9, 3.10).

use plugd::api::v1::{
    PluginEvent,
    ReportedState::{Active, Inactive},
    RollbackPackageRequest,
};
use serde_json::json;
use tonic::Code;

use super::support::{DATA_FILES, download, replace, version_of, versioned};
use crate::harness::{Body, Plugd, chaos_manifest, packaged, reason, state_of, status_of, within};

/// CONTRACT 3.9: the last upload byte for byte, with its headers; by either API.
#[tokio::test]
async fn the_package_comes_back_byte_for_byte_with_its_headers() {
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
            (header.file_name.as_str(), &header.digest),
            ("chaos.zip", &api.get(&id).await.unwrap().package_digest)
        );
    }
    assert_eq!(download(&api, "9m4e2mr0ui3e8a215n4g").await.unwrap_err().code(), Code::NotFound);
}

/// CONTRACT 3.9: a missing stored archive is 404; 14: the plugin is listed all the same.
#[tokio::test]
async fn a_package_that_is_missing_on_disk_is_404_and_the_plugin_is_still_listed() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    let digest = api.get(&id).await.unwrap().package_digest;
    let hex = digest.trim_start_matches("sha256:");
    let stored: Vec<_> = plugd.files().into_iter().filter(|name| name.contains(hex)).collect();
    assert_eq!(stored.len(), 1, "{stored:?}");
    std::fs::remove_file(plugd.data_dir().join(&stored[0])).unwrap();

    rest.get(&format!("/api/plugins/{id}/package")).await.problem(404);
    assert_eq!(rest.list().await.len(), 1);
    rest.set_active(&id, "active").await.problem(404);
}

/// CONTRACT 3.10: 400 with its title, whatever the state; nothing is changed, nothing restarted.
#[tokio::test]
async fn a_package_with_another_id_is_400_with_the_prescribed_title() {
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

/// CONTRACT 3.10.
#[tokio::test]
async fn an_inactive_plugin_stays_inactive_and_an_active_one_runs_the_new_package() {
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

/// plugd's own decision on archives: exactly the files of the older package go, what the plugin wrote stays.
#[tokio::test]
async fn an_update_takes_away_the_old_packages_files_and_nothing_else() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let folder = plugd.data_dir().join("plugins").join(&id);
    let own = [("notes.txt", "mine"), ("cache/deep/state.db", "mine too")];
    for (name, text) in own {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
    }
    assert!(folder.join("data/only-in-1").is_file());
    for version in [2, 3] {
        replace(&api, &id, versioned(version, "tame")).await.unwrap();
        for (name, text) in own {
            assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), text);
        }
        let files: Vec<_> =
            std::fs::read_dir(folder.join("data")).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files.len(), DATA_FILES, "{files:?}");
        assert!(folder.join(format!("data/only-in-{version}")).is_file());
    }
}

/// plugd's own decision on updates: the watch shows the digest go and come back, and the caller is told why.
#[tokio::test]
async fn an_update_that_is_never_stable_is_taken_back_before_the_eyes_of_every_watcher() {
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
    let mut digests: Vec<_> =
        events.iter().map(|event| event.plugin.as_ref().unwrap().package_digest.clone()).collect();
    digests.dedup();
    assert_eq!(digests.len(), 2, "there, and back: {digests:?}");
    assert_ne!(digests[0], old.package_digest);
    assert_eq!(digests[1], old.package_digest);
    let mut log = api.logs(&id).await;
    log.find("whole 2").await;
    log.find("whole 1").await;
}

/// `RollbackPackage`: back by hand, and forth again; over REST too.
#[tokio::test]
async fn a_rollback_by_hand_swaps_the_two_packages() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let request = || RollbackPackageRequest { plugin_id: id.clone(), ..Default::default() };
    let refused = api.plugins().rollback_package(request()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NO_PREVIOUS_PACKAGE"));
    replace(&api, &id, versioned(2, "tame")).await.unwrap();

    let back = within("a rollback", api.plugins().rollback_package(request())).await.unwrap().into_inner();
    assert_eq!((state_of(back.plugin.as_ref().unwrap()), version_of(back.plugin.as_ref().unwrap())), (Active, 1));
    assert!(download(&api, &id).await.unwrap().1 == versioned(1, "tame"));
    let forth = plugd.rest().post(&format!("/api/plugins/{id}/rollback"), Body::None).await.expect(200);
    assert_eq!((&forth["version"], &forth["status"]["active_state"]), (&json!("2"), &json!("active")));
    let mut log = api.logs(&id).await;
    for version in ["1", "2", "1", "2"] {
        assert_eq!(log.find("whole ").await, version);
    }
}
