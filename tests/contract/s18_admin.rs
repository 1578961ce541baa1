//! Section 18 of the contract: what the web admin reads and writes, with the cookie and the Origin of a browser.
//!
//! Held elsewhere: the capability that shows the section in `s01_transport`; pages of other origins in the unit tests of
//! `src/rest` (sites).

use serde_json::{Value, json};

use super::support::{Wire, keys, settle};
use crate::harness::{Answer, Body, Plugd, Rest, Running, chaos, chaos_manifest, external_manifest, packaged, program};

/// A page of the server itself: the browser adds the cookie, and the Origin to what it writes.
struct Page {
    rest: Rest,
    cookie: String,
    origin: String,
}

impl Page {
    fn of(plugd: &Plugd) -> Self {
        let cookie = format!("cookie: theme=dark; storyden-session={}", plugd.token());
        Self { rest: plugd.rest_as(None), cookie, origin: format!("origin: {}", plugd.url()) }
    }

    async fn read(&self, path: &str) -> Value {
        self.rest.send("GET", path, Body::None, &[&self.cookie, "accept: application/json"]).await.expect(200)
    }

    async fn write(&self, method: &str, path: &str, body: Body) -> Answer {
        self.rest.send(method, path, body, &[&self.cookie, &self.origin]).await
    }

    async fn plugins(&self) -> Vec<Value> {
        self.read("/api/plugins").await["plugins"].as_array().unwrap().clone()
    }

    async fn upload(&self, archive: Vec<u8>) -> String {
        let plugin = self.write("POST", "/api/plugins", Body::Zip(archive)).await.expect(200);
        plugin["id"].as_str().unwrap().to_owned()
    }

    async fn toggle(&self, id: &str, active: &str) -> Answer {
        let body = Body::Json(json!({"active": active}));
        self.write("PATCH", &format!("/api/plugins/{id}/active"), body).await
    }
}

/// The badge: which shape a status has is told by the keys that are there.
fn badge(plugin: &Value) -> &'static str {
    let status = &plugin["status"];
    let has = |key| status.get(key).is_some();
    match (has("activated_at"), has("deactivated_at"), has("message")) {
        (true, false, false) => "active",
        (false, true, false) => "inactive",
        (false, false, true) => "error",
        (false, false, false) => "on its way",
        _ => panic!("more than one shape: {status}"),
    }
}

#[tokio::test]
async fn the_index_counts_and_tells_shapes_apart_by_keys_18() {
    let plugd = Plugd::with(&[("PLUGD_MAX_RESTART_ATTEMPTS", "0")]).await;
    let page = Page::of(&plugd);
    let (active, failed) = (page.upload(chaos(&["tame"])).await, page.upload(chaos(&["exit", "42"])).await);
    page.upload(chaos(&["tame"])).await;
    let body = json!({"mode": "external", "manifest": external_manifest("outside")});
    page.write("POST", "/api/plugins", Body::Json(body)).await.expect(200);
    page.toggle(&active, "active").await.expect(200);
    page.toggle(&failed, "active").await.problem(502);

    let plugins = page.plugins().await;

    let badges: Vec<_> = plugins.iter().map(badge).collect();
    assert_eq!(badges, ["active", "error", "inactive", "on its way"]);
    assert_eq!(plugins[1]["status"]["message"], "exit status 42", "shown on the card");
    for plugin in &plugins {
        assert!(plugin["name"].is_string() && plugin["version"].is_string() && plugin["added_at"].is_string());
    }
}

/// A page of another site can't write with the cookie; what no browser sent, as `curl -b`, can.
#[tokio::test]
async fn a_cookie_writes_unless_the_browser_says_that_another_site_does_18_1_2() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}/active");
    let patch = async |headers: &[&str]| {
        let headers = [&[page.cookie.as_str()], headers].concat();
        page.rest.send("PATCH", &path, Body::Json(json!({"active": "inactive"})), &headers).await
    };
    for headers in [&[][..], &[page.origin.as_str()], &["sec-fetch-site: same-origin"], &["sec-fetch-site: none"]] {
        patch(headers).await.expect(200);
    }
    let cross_site = ["sec-fetch-site: cross-site", page.origin.as_str()];
    for headers in [&["origin: https://evil.example"][..], &["origin: null"], &cross_site] {
        assert_eq!(patch(headers).await.problem(403)["error"], "cross_site", "{headers:?}");
    }
}

/// Inline errors are parsed by their trace; older parts of the page read the keys of before.
#[tokio::test]
async fn what_is_shown_of_an_error_is_there_18() {
    let plugd = Plugd::start().await;
    let refused = Page::of(&plugd).write("POST", "/api/plugins", Body::Zip(b"no zip".to_vec())).await.problem(400);
    for key in ["trace_id", "title", "error", "message", "suggested"] {
        assert!(refused[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {refused}");
    }
}

/// The default manifest of the dialog names no command.
#[tokio::test]
async fn the_external_dialog_may_leave_the_command_out_18_must() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let manifest = json!({"id": "mine", "name": "Mine", "author": "me", "description": "", "version": "0.1.0", "events_consumed": []});
    let body = Body::Json(json!({"mode": "external", "manifest": manifest}));
    let plugin = page.write("POST", "/api/plugins", body).await.expect(200);
    assert_eq!(plugin["manifest"]["command"], "");
    assert!(plugin["connection"]["token"].as_str().unwrap().starts_with("sdprt_"), "for the line to copy");
}

#[tokio::test]
async fn the_toggle_enables_disables_and_tries_again_18() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["exit", "42"])).await;
    page.toggle(&id, "active").await.problem(502);
    assert_eq!(badge(&page.plugins().await[0]), "error");
    let package = format!("/api/plugins/{id}/package");
    let replaced = page.write("PATCH", &package, Body::Zip(chaos(&["tame"]))).await.expect(200);
    assert_eq!(badge(&replaced), "active");
    assert_eq!(badge(&page.toggle(&id, "inactive").await.expect(200)), "inactive");
    assert_eq!(badge(&page.toggle(&id, "active").await.expect(200)), "active");
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    page.toggle(&outside, "inactive").await.problem(400);
}

#[tokio::test]
async fn the_overview_has_the_message_and_the_technical_details_18() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["exit", "42"])).await;
    page.toggle(&id, "active").await.problem(502);
    let plugin = page.read(&format!("/api/plugins/{id}")).await;
    assert_eq!(plugin["status"]["message"], "exit status 42");
    assert!(!keys(&plugin["status"]["details"]).is_empty(), "something to expand");
    let manifest = chaos_manifest(&["exit", "42"]);
    for key in ["id", "author", "command", "args", "events_consumed"] {
        assert_eq!(plugin["manifest"][key], manifest[key], "{key}");
    }
}

#[tokio::test]
async fn the_form_is_made_of_the_schema_and_a_refusal_is_shown_inline_18() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}/configuration");
    let field = page.read(&format!("{path}-schema")).await["fields"][0].clone();
    assert_eq!(
        (&field["type"], &field["label"], &field["default"]),
        (&json!("string"), &json!("Greeting"), &json!("hi"))
    );
    assert_eq!(page.read(&path).await, json!({}));
    let save = async |value: Value| page.write("PATCH", &path, Body::Json(json!({"greeting": value}))).await;
    let refused = save(json!("hello")).await.problem(400);
    assert!(refused["title"].as_str().unwrap().contains("connected"), "{refused}");
    page.toggle(&id, "active").await.expect(200);
    assert_eq!(save(json!(7)).await.problem(400)["title"], "Field \"greeting\" must be a string value.");
    assert_eq!(save(json!("hello")).await.expect(200), json!({"greeting": "hello"}));
}

/// The page warns of what the server refuses.
#[tokio::test]
async fn the_package_tab_downloads_and_replaces_18() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["tame"])).await;
    let path = format!("/api/plugins/{id}/package");
    let download = page.rest.send("GET", &path, Body::None, &[&page.cookie]).await;
    assert_eq!(download.bytes, chaos(&["tame"]));
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = json!("2.0.0");
    let replaced = page.write("PATCH", &path, Body::Zip(packaged(&manifest))).await.expect(200);
    assert_eq!(replaced["version"], "2.0.0");
    manifest["id"] = json!("other");
    let refused = page.write("PATCH", &path, Body::Zip(packaged(&manifest))).await.problem(400);
    assert!(refused["title"].as_str().unwrap().contains("same manifest ID"), "{refused}");
}

#[tokio::test]
async fn the_manifest_and_the_connection_of_an_external_plugin_are_changed_18() {
    let plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let plugin = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let path = format!("/api/plugins/{}", plugin.id);
    let wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
    settle(&plugd, &plugin.id, plugd::api::v1::ReportedState::Active).await;
    let saved = page.write("PATCH", &format!("{path}/manifest"), Body::Json(external_manifest("renamed"))).await;
    assert_eq!((badge(&saved.expect(200)), &saved.json()["manifest"]["id"]), ("on its way", &json!("renamed")));
    assert_eq!(wire.closed().await, (1000, "closed".to_owned()), "as it warns");
    let regenerated = page.write("POST", &format!("{path}/token"), Body::None).await.expect(200);
    assert_eq!(page.read(&path).await["connection"]["token"], regenerated["token"]);
}

/// A browser delivers an event only if it has data. Its viewer sends no header but the cookie.
#[tokio::test]
async fn the_log_viewer_is_told_the_end_18() {
    let mut plugd = Plugd::start().await;
    let page = Page::of(&plugd);
    let id = page.upload(chaos(&["tame"])).await;
    page.toggle(&id, "active").await.expect(200);
    let mut curl = program("curl");
    curl.args(["--silent", "--no-buffer", "--noproxy", "*", "-H", &page.cookie, "-H", "accept: text/event-stream"]);
    let mut viewer = Running::start(curl.arg(format!("{}/api/plugins/{id}/logs", plugd.url())));
    viewer.find("data: pid ").await;
    assert!(plugd.sigterm().await.0.success());
    let mut last = vec![viewer.find("event: end").await];
    while let Some(line) = viewer.line().await {
        last.push(line);
    }
    assert_eq!(last, ["event: end", "data:", ""]);
}
