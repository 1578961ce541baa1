//! Adding plugins by an archive or a manifest (CONTRACT 3.2 (a) and (c)); by an address: `addresses`.

use plugd::api::v1::ReportedState::Active;
use serde_json::{Value, json};

use crate::{
    contract::support::{Wire, keys, settle},
    harness::{
        Body, Plugd, ZipEntry, chaos, chaos_manifest, external_manifest, field_violations, packaged, reason, zipped,
    },
};

/// The title begins so when an archive is at fault.
const INVALID: &str = "The provided plugin file is invalid: ";

#[tokio::test]
async fn an_archive_becomes_an_inactive_supervised_plugin_and_nothing_is_started_3_2() {
    let plugd = Plugd::start().await;
    let plugin = plugd.rest().post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    assert_eq!(plugin["connection"], json!({"mode": "supervised"}));
    assert_eq!(plugin["status"]["active_state"], "inactive");
    assert_eq!(plugin["plugd"]["desired_state"], "inactive");
    let id = plugin["id"].as_str().unwrap();
    assert_eq!(Plugd::processes_of(id), []);
    assert!(!plugd.data_dir().join("plugins").join(id).exists(), "nothing is extracted");
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
async fn a_bad_package_is_refused_with_what_is_at_fault_and_nothing_is_stored_3_2() {
    let plugd = Plugd::start().await;
    let (api, rest) = (plugd.api(), plugd.rest());
    let before = plugd.files();
    for (what, archive, at_fault) in bad_packages() {
        let status = api.upload(archive.clone()).await.expect_err(what);
        assert!(["INVALID_PACKAGE", "INVALID_MANIFEST"].contains(&reason(&status).as_str()), "{what}: {status:?}");
        let fields = field_violations(&status);
        assert!(fields.iter().any(|field| field.starts_with(at_fault)), "{what}: {fields:?}");

        let problem = rest.post("/api/plugins", Body::Zip(archive)).await.problem(400);
        let title = problem["title"].as_str().unwrap();
        assert!(title.matches(INVALID.trim_end()).count() < 2, "{what}: {problem}");
        // Over REST nothing is no package at all, but an empty body (1.5).
        assert!(what == "nothing" || title.starts_with(INVALID), "{what}: {problem}");
    }
    assert_eq!(api.list().await.unwrap(), []);
    assert_eq!(plugd.files(), before, "nothing was stored");
}

#[tokio::test]
async fn a_registered_plugin_has_its_token_and_is_connecting_at_once_3_2() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let body = json!({"mode": "external", "manifest": external_manifest("outside")});
    let plugin = rest.post("/api/plugins", Body::Json(body)).await.expect(200);
    assert_eq!(keys(&plugin["status"]), ["active_state", "connecting_at"], "19, row 14");
    assert_eq!(plugin["plugd"]["desired_state"], "active");
    let (id, token) = (plugin["id"].as_str().unwrap(), plugin["connection"]["token"].as_str().unwrap());
    let _wire = Wire::dial(&plugd, token).await.unwrap();
    settle(&plugd, id, Active).await;
}

fn tools(members: Value) -> Value {
    let mut provider = json!({"type": "robot.tool_provider", "id": "p", "version": "1"});
    provider.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let mut manifest = external_manifest("broken");
    manifest["capabilities"] = json!([provider]);
    manifest
}

/// Toolsets too are looked at before anything is inserted (19, row 18).
#[tokio::test]
async fn an_external_manifest_that_breaks_a_rule_is_400_and_leaves_nothing_behind_3_2() {
    let plugd = Plugd::start().await;
    let toolset = |tools: Value| json!({"id": "all", "name": "All", "description": "", "tools": tools});
    let tool = || json!({"id": "t", "name": "T", "description": "", "input_schema": {"type": "object"}});
    let broken = [
        ("manifest.id", json!({"id": "not an id", "author": "me", "name": "x"})),
        ("manifest.author", json!({"id": "x", "name": "x"})),
        ("manifest.name", json!({"id": "x", "author": "me", "name": 7})),
        ("manifest.capabilities", tools(json!({"tools": [], "toolsets": [toolset(json!(["unknown"]))]}))),
        ("manifest.capabilities", tools(json!({"tools": [tool()], "toolsets": [toolset(json!(["t", "t"]))]}))),
        ("manifest.capabilities", tools(json!({"tools": [tool(), tool()]}))),
    ];
    for (field, manifest) in broken {
        let body = Body::Json(json!({"mode": "external", "manifest": manifest}));
        let problem = plugd.rest().post("/api/plugins", body).await.problem(400);
        assert_eq!(problem["error"], "invalid_manifest", "{manifest}");
        let named = problem["metadata"]["violations"][0]["field"].as_str().unwrap().to_owned();
        assert!(named.starts_with(field), "{named} of {manifest}");
    }
    for body in [json!({"mode": "external", "manifest": []}), json!({"mode": "external", "manifest": null})] {
        plugd.rest().post("/api/plugins", Body::Json(body)).await.problem(400);
    }
    assert_eq!(plugd.api().list().await.unwrap(), []);
}
