//! What plugd does beyond the contract when a package is replaced ("plugd's own decisions"): the old package's files go,
//! and there is a way back.

use plugd::api::v1::{ReportedState::Active, RollbackPackageRequest};
use serde_json::json;
use tonic::Code;

use crate::{
    contract::support::{DATA_FILES, download, replace, version_of, versioned},
    harness::{Body, Plugd, reason, state_of, within},
};

/// Exactly the files of the older package go; what the plugin wrote stays.
#[tokio::test]
async fn an_update_takes_away_the_old_packages_files_and_nothing_else_3_10() {
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

/// Back by hand, and forth again; over REST too.
#[tokio::test]
async fn a_rollback_by_hand_swaps_the_two_packages_3_10() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.upload(versioned(1, "tame")).await.unwrap().id;
    api.activate(&id).await.unwrap();
    let request = || RollbackPackageRequest { plugin_id: id.clone(), ..Default::default() };
    let refused = api.packages().rollback_package(request()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NO_PREVIOUS_PACKAGE"));
    replace(&api, &id, versioned(2, "tame")).await.unwrap();

    let back = within("a rollback", api.packages().rollback_package(request())).await.unwrap().into_inner();
    assert_eq!((state_of(back.plugin.as_ref().unwrap()), version_of(back.plugin.as_ref().unwrap())), (Active, 1));
    assert!(download(&api, &id).await.unwrap().1 == versioned(1, "tame"));
    let forth = plugd.rest().post(&format!("/api/plugins/{id}/rollback"), Body::None).await.expect(200);
    assert_eq!((&forth["version"], &forth["status"]["active_state"]), (&json!("2"), &json!("active")));
    let mut log = api.logs(&id).await;
    for version in ["1", "2", "1", "2"] {
        assert_eq!(log.find("whole ").await, version);
    }
}
