//! What is refused, with which words, and that nothing of it is kept.

use plugd::api::v1::{
    CycleTokenRequest, DownloadPackageRequest, GetConfigurationRequest, GetConfigurationSchemaRequest,
    RollbackPackageRequest, StreamLogsRequest,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{Body, Plugd, ZipEntry, chaos, chaos_manifest, field_violations, packaged, reason, zipped};

/// Ids of no plugin: too short, unknown, not canonical, not in the alphabet.
const NOBODY: [&str; 6] =
    ["x", "9m4e2mr0ui3e8a215n4g", "9m4e2mr0ui3e8a215n4h", "9M4E2MR0UI3E8A215N4G", "zzzzzzzzzzzzzzzzzzzz", "%00"];

/// The most that an archive may have.
const MAX_ARCHIVE: usize = 50 * 1024 * 1024;

#[tokio::test]
async fn an_unknown_or_malformed_id_is_not_found_by_every_call() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    for id in NOBODY.into_iter().chain(["", "../../etc/passwd"]) {
        let plugin_id = id.to_owned();
        let mut plugins = api.plugins();
        let refusals: [Status; 11] = [
            api.get(id).await.unwrap_err(),
            api.activate(id).await.unwrap_err(),
            api.deactivate(id).await.unwrap_err(),
            api.restart(id).await.unwrap_err(),
            api.delete(id).await.unwrap_err(),
            plugins.get_configuration(GetConfigurationRequest { plugin_id: plugin_id.clone() }).await.unwrap_err(),
            plugins
                .get_configuration_schema(GetConfigurationSchemaRequest { plugin_id: plugin_id.clone() })
                .await
                .unwrap_err(),
            plugins.cycle_token(CycleTokenRequest { plugin_id: plugin_id.clone() }).await.unwrap_err(),
            plugins.download_package(DownloadPackageRequest { plugin_id: plugin_id.clone() }).await.unwrap_err(),
            plugins
                .rollback_package(RollbackPackageRequest { plugin_id: plugin_id.clone(), ..Default::default() })
                .await
                .unwrap_err(),
            plugins.stream_logs(StreamLogsRequest { plugin_id, ..Default::default() }).await.unwrap_err(),
        ];
        for status in refusals {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "PLUGIN_NOT_FOUND"), "{id:?}");
        }
    }
}

#[tokio::test]
async fn an_unknown_or_malformed_id_is_404_on_every_path_contract_1_5_must() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let external = || Body::Json(crate::harness::external_manifest("nobody"));
    for id in NOBODY {
        let at = |rest: &str| format!("/api/plugins/{id}{rest}");
        let answers = [
            rest.get(&at("")).await,
            rest.delete(&at("")).await,
            rest.set_active(id, "active").await,
            rest.get(&at("/logs")).await,
            rest.post(&at("/token"), Body::None).await,
            rest.patch(&at("/manifest"), external()).await,
            rest.get(&at("/package")).await,
            rest.patch(&at("/package"), Body::Zip(chaos(&["tame"]))).await,
            rest.get(&at("/configuration-schema")).await,
            rest.get(&at("/configuration")).await,
            rest.patch(&at("/configuration"), Body::Json(json!({}))).await,
        ];
        for answer in answers {
            let problem = answer.problem(404);
            assert_eq!(problem["error"], "plugin_not_found", "{id:?}");
            assert_eq!(problem["type"], "urn:storyden:problem:not-found");
        }
    }
}

#[tokio::test]
async fn only_the_first_20_characters_of_an_id_count_on_rest_contract_1_5_must() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let plugin = plugd.rest().get(&format!("/api/plugins/{id}-and-its-name")).await.expect(200);
    assert_eq!(plugin["id"], id);
}

/// What is wrong, the archive, and the field or the words that name it.
fn bad_packages() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let manifest = chaos_manifest(&["tame"]).to_string();
    let good: ZipEntry<'_> = ("manifest.json", manifest.as_bytes(), 0o644);
    let changed = |key: &str, value: Value| {
        let mut manifest = chaos_manifest(&["tame"]);
        manifest[key] = value;
        packaged(&manifest)
    };
    let many: Vec<String> = (0..2048).map(|number| format!("file-{number}")).collect();
    let many: Vec<ZipEntry<'_>> = many.iter().map(|name| (name.as_str(), &b""[..], 0o644)).chain([good]).collect();
    let huge = vec![b' '; 1024 * 1024 + 1];
    vec![
        ("garbage", b"this is no archive".to_vec(), "package"),
        ("nothing", Vec::new(), "package"),
        ("half an archive", chaos(&["tame"])[..100].to_vec(), "package"),
        ("no manifest", zipped(&[("readme.txt", b"hi", 0o644)]), "package"),
        ("a manifest that is no JSON", zipped(&[("manifest.json", b"id: chaos", 0o644)]), "manifest"),
        ("a manifest over 1 MiB", zipped(&[("manifest.json", &huge, 0o644)]), "package[manifest.json]"),
        ("an id with a space", changed("id", json!("two words")), "manifest.id"),
        ("no author", changed("author", Value::Null), "manifest.author"),
        ("a name of no letters", changed("name", json!("")), "manifest.name"),
        (
            "a field of an unknown type",
            changed("configuration_schema", json!({"fields": [{"type": "date"}]})),
            "manifest.configuration_schema",
        ),
        ("a capability of an unknown type", changed("capabilities", json!([{"type": "x"}])), "manifest.capabilities"),
        ("a way out", zipped(&[good, ("../evil", b"", 0o644)]), "package[../evil]"),
        ("a longer way out", zipped(&[good, ("a/../../evil", b"", 0o644)]), "package[a/../../evil]"),
        ("too many files", zipped(&many), "package"),
    ]
}

#[tokio::test]
async fn a_bad_package_is_refused_with_what_is_at_fault_and_nothing_is_stored_contract_3_2() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let before = plugd.files();
    for (what, archive, at_fault) in bad_packages() {
        let status = api.upload(archive.clone()).await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert!(["INVALID_PACKAGE", "INVALID_MANIFEST"].contains(&reason(&status).as_str()), "{what}: {status:?}");
        let fields = field_violations(&status);
        assert!(fields.iter().any(|field| field.starts_with(at_fault)), "{what}: {fields:?}");

        let problem = rest.post("/api/plugins", Body::Zip(archive)).await.problem(400);
        let title = problem["title"].as_str().unwrap();
        assert!(title.matches("The provided plugin file is invalid").count() < 2, "{what}: {problem}");
        // Over REST nothing is no package at all, but an empty body (contract 1.5).
        assert!(what == "nothing" || title.starts_with("The provided plugin file is invalid: "), "{what}: {problem}");
    }
    assert_eq!(api.list().await.unwrap(), []);
    assert_eq!(plugd.files(), before, "nothing was stored");
}

#[tokio::test]
async fn a_package_with_a_large_file_declared_small_is_refused() {
    let plugd = Plugd::start().await;
    let manifest = chaos_manifest(&["tame"]).to_string();
    let mut archive = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("data", &[b'x'; 1000], 0o644)]);
    let header = archive.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    archive[header + 24..header + 28].copy_from_slice(&10_u32.to_le_bytes());

    let status = plugd.api().upload(archive).await.unwrap_err();

    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_PACKAGE"));
    assert_eq!(field_violations(&status), ["package[data]"]);
}

#[tokio::test]
async fn an_oversized_body_is_too_large_for_both_apis() {
    let plugd = Plugd::start().await;
    let before = plugd.files();
    let body = vec![0; MAX_ARCHIVE + 1];

    let problem = plugd.rest().post("/api/plugins", Body::Zip(body.clone())).await.problem(413);
    assert_eq!(problem["error"], "too_large");

    let status = plugd.api().upload(body).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
    assert_eq!(plugd.files(), before);
}

#[tokio::test]
async fn requests_that_are_not_what_they_should_be_are_400_contract_1_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().install(&["tame"]).await;
    let active = format!("/api/plugins/{id}/active");
    let json = |text: &str| Body::Raw(Some("application/json; charset=utf-8"), text.as_bytes().to_vec());

    for text in ["", "{", "[]", "{}", r#"{"active": 1}"#, r#"{"active": "on"}"#, r#"{"active": "starting"}"#] {
        let problem = rest.patch(&active, json(text)).await.problem(400);
        assert_eq!(problem["type"], "urn:storyden:problem:invalid-argument", "{text:?}");
    }
    for text in ["", "{}", r#"{"mode": "other"}"#, r#"{"mode": "external"}"#, r#"{"mode": "supervised"}"#] {
        rest.post("/api/plugins", json(text)).await.problem(400);
    }
    for media in [None, Some("text/plain")] {
        let status = rest.patch(&active, Body::Raw(media, b"{}".to_vec())).await.status;
        assert!([400, 415].contains(&status), "{media:?}: {status}");
    }
    let plugin = rest.get(&format!("/api/plugins/{id}")).await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "inactive");
}

#[tokio::test]
async fn an_external_manifest_that_breaks_a_rule_leaves_nothing_behind_contract_19_18() {
    let plugd = Plugd::start().await;
    let toolset = json!([{"id": "all", "name": "All", "description": "", "tools": ["unknown"]}]);
    let mut manifest = crate::harness::external_manifest("broken");
    manifest["capabilities"] =
        json!([{"type": "robot.tool_provider", "id": "p", "version": "1", "tools": [], "toolsets": toolset}]);

    let status = plugd.api().register(&manifest).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_MANIFEST"));
    assert!(field_violations(&status)[0].starts_with("manifest.capabilities"), "{:?}", field_violations(&status));
    let body = Body::Json(json!({"mode": "external", "manifest": manifest}));
    plugd.rest().post("/api/plugins", body).await.problem(400);

    assert_eq!(plugd.api().list().await.unwrap(), []);
}

#[tokio::test]
async fn a_package_of_another_plugin_is_refused_as_an_update_contract_3_10() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["id"] = json!("somebody-else");

    let path = format!("/api/plugins/{id}/package");
    let problem = plugd.rest().patch(&path, Body::Zip(packaged(&manifest))).await.problem(400);

    let title = "The uploaded package must have the same manifest ID as the installed plugin.";
    assert_eq!(problem["title"], title);
    assert_eq!(plugd.rest().get(&path).await.bytes, chaos(&["tame"]));
}
