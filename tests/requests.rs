//! Requests that are made again: `request_id`, and conditions on the generation.

use plugd::api::v1::{
    ActiveState, DeletePluginRequest, InstallPluginRequest, Plugin, PluginView, RegisterExternalPluginRequest,
    RestartPluginRequest, RollbackPackageRequest, RotateTokenRequest, SetActiveStateRequest,
    UpdateConfigurationRequest, UpdateManifestRequest, UpdatePackageRequest,
    install_plugin_request::{Header, Part},
    update_package_request as update,
};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use crate::harness::{Api, Plugd, chaos, details, external_manifest, field_violations, reason, within};

async fn install(api: &Api, request_id: &str, archive: Vec<u8>) -> Result<Plugin, Status> {
    let header = Header { request_id: Some(request_id.to_owned()), ..Header::default() };
    let parts = [Part::Header(header), Part::Chunk(archive)];
    let messages = parts.map(|part| InstallPluginRequest { part: Some(part) });
    Ok(api.plugins().install_plugin(tokio_stream::iter(messages)).await?.into_inner().plugin.unwrap())
}

#[tokio::test]
async fn a_request_that_is_made_again_installs_no_second_plugin_also_after_a_kill_of_plugd() {
    let mut plugd = Plugd::start().await;
    let first = install(&plugd.api(), "one", chaos(&["tame"])).await.unwrap();
    assert_eq!(install(&plugd.api(), "one", chaos(&["tame"])).await.unwrap(), first);
    plugd.kill_9().await;
    plugd.restart().await;
    let api = plugd.api();
    assert_eq!(install(&api, "one", chaos(&["tame"])).await.unwrap().id, first.id);
    assert_ne!(install(&api, "two", chaos(&["tame"])).await.unwrap().id, first.id);
    let reused = install(&api, "one", chaos(&["hang"])).await.unwrap_err();
    assert_eq!((reused.code(), reason(&reused).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    assert_eq!(details(&reused)["plugin_id"], first.id);
    assert_eq!(api.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_id_has_1_to_128_characters() {
    let plugd = Plugd::start().await;
    let manifest = plugd::api::json::to_struct(external_manifest("outside").as_object().unwrap()).unwrap();
    let ids = [(String::new(), false), ("é".repeat(129), false), ("a\0b".to_owned(), false), ("é".repeat(128), true)];
    for (id, is_good) in ids {
        let request = RegisterExternalPluginRequest { manifest: Some(manifest.clone()), request_id: Some(id) };
        let registered = plugd.api().plugins().register_external_plugin(request).await;
        assert_eq!(registered.is_ok(), is_good);
        let refused = registered.err().map(|status| field_violations(&status)).unwrap_or_default();
        assert!(is_good || refused == ["request_id"], "{refused:?}");
    }
}

#[tokio::test]
async fn a_request_is_known_again_also_when_its_plugin_has_another_package_by_now() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let first = install(&api, "one", chaos(&["tame"])).await.unwrap();
    let header = update::Header { plugin_id: first.id.clone(), ..update::Header::default() };
    let updated = update_package(&api, header).await.unwrap();
    assert_ne!(updated.package_digest, first.package_digest);
    assert_eq!(install(&api, "one", chaos(&["tame"])).await.unwrap().id, first.id);
    let reused = install(&api, "one", chaos(&["hang"])).await.unwrap_err();
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED", "what the first asked for counts");
}

async fn update_package(api: &Api, header: update::Header) -> Result<Plugin, Status> {
    let parts = [update::Part::Header(header), update::Part::Chunk(chaos(&["hang"]))];
    let messages = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    Ok(api.packages().update_package(tokio_stream::iter(messages)).await?.into_inner().plugin.unwrap())
}

/// An upload of which no more than the header comes, and how it is refused all the same.
async fn refused_by_its_header(api: &Api, header: update::Header) -> Status {
    let message = UpdatePackageRequest { part: Some(update::Part::Header(header)) };
    let unfinished = tokio_stream::iter([message]).chain(tokio_stream::pending());
    within("a refusal", api.packages().update_package(unfinished)).await.unwrap_err()
}

#[tokio::test]
async fn an_upload_is_refused_by_its_header_before_the_package_has_come() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let plugin_id = api.install(&["tame"]).await;
    let outside = api.register(&external_manifest("outside")).await.unwrap().id;
    let good = || update::Header { plugin_id: plugin_id.clone(), ..update::Header::default() };
    let long = prost_types::Duration { seconds: 301, nanos: 0 };
    for (header, expected) in [
        (update::Header { wait: Some(long), ..good() }, "INVALID_ARGUMENT"),
        (update::Header { expected_digest: Some("sha256:0".to_owned()), ..good() }, "INVALID_ARGUMENT"),
        (update::Header { plugin_id: "nobody".to_owned(), ..good() }, "PLUGIN_NOT_FOUND"),
        (update::Header { plugin_id: outside, ..good() }, "EXTERNAL_PLUGIN"),
        (update::Header { if_generation: Some(7), ..good() }, "GENERATION_CONFLICT"),
    ] {
        assert_eq!(reason(&refused_by_its_header(&api, header.clone()).await), expected, "{header:?}");
    }

    let header = Header { request_id: Some(String::new()), ..Header::default() };
    let message = InstallPluginRequest { part: Some(Part::Header(header)) };
    let unfinished = tokio_stream::iter([message]).chain(tokio_stream::pending());
    let refused = within("a refusal", api.plugins().install_plugin(unfinished)).await.unwrap_err();
    assert_eq!(field_violations(&refused), ["header.request_id"]);
}

/// All changes of what is desired of a plugin, on condition of this generation; its own of a supervised plugin, those of an
/// external one of `outside`.
async fn refused_on_condition(api: &Api, plugin_id: &str, outside: &str, if_generation: Option<u64>) -> Vec<Status> {
    let (plugin_id, outside) = (plugin_id.to_owned(), outside.to_owned());
    let state = SetActiveStateRequest {
        plugin_id: plugin_id.clone(),
        active_state: ActiveState::Inactive.into(),
        if_generation,
        wait: None,
    };
    let restart = RestartPluginRequest { plugin_id: plugin_id.clone(), if_generation, wait: None };
    let package = update::Header { plugin_id: plugin_id.clone(), if_generation, ..update::Header::default() };
    let rollback = RollbackPackageRequest { plugin_id: plugin_id.clone(), if_generation, wait: None };
    let delete = DeletePluginRequest { plugin_id: plugin_id.clone(), if_generation };
    let empty = Some(prost_types::Struct::default());
    let configuration = UpdateConfigurationRequest { plugin_id, configuration: empty, if_generation };
    let manifest = plugd::api::json::to_struct(external_manifest("outside").as_object().unwrap()).ok();
    let manifest = UpdateManifestRequest { plugin_id: outside.clone(), manifest, if_generation };
    vec![
        api.plugins().set_active_state(state).await.unwrap_err(),
        api.plugins().restart_plugin(restart).await.unwrap_err(),
        update_package(api, package).await.unwrap_err(),
        api.packages().rollback_package(rollback).await.unwrap_err(),
        api.configurations().update_configuration(configuration).await.unwrap_err(),
        api.plugins().delete_plugin(delete).await.unwrap_err(),
        api.plugins().update_manifest(manifest).await.unwrap_err(),
        api.plugins().rotate_token(RotateTokenRequest { plugin_id: outside, if_generation }).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_change_on_condition_of_another_generation_changes_nothing_whatever_it_is() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    let header = update::Header { plugin_id: id.clone(), ..update::Header::default() };
    let before = update_package(&api, header).await.unwrap();
    let outside = api.register(&external_manifest("outside")).await.unwrap();
    for refusal in refused_on_condition(&api, &id, &outside.id, Some(7)).await {
        assert_eq!((refusal.code(), reason(&refusal).as_str()), (Code::Aborted, "GENERATION_CONFLICT"), "{refusal:?}");
        let told = details(&refusal);
        let actual = if told["plugin_id"] == id { before.generation } else { outside.generation };
        assert_eq!((told["expected"].as_str(), &told["actual"]), ("7", &actual.to_string()));
    }
    assert_eq!(api.get(&id).await.unwrap(), before);
    let after = api.get_as(&outside.id, PluginView::Full).await.unwrap();
    assert_eq!((after.generation, after.token), (outside.generation, outside.token));
    let delete = DeletePluginRequest { plugin_id: id, if_generation: Some(before.generation) };
    api.plugins().delete_plugin(delete).await.unwrap();
}
