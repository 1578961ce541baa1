//! plugd behind the reverse proxies of `docs/reverse-proxy.md`: all that clients do goes through them.

use futures_util::future::join_all;
use plugd::api::v1::{
    ListAuditEventsRequest, ReportedState, Role, WatchStateRequest, watch_state_request::Start,
    watch_state_response::Frame,
};
use serde_json::json;
use tonic::Code;

use crate::harness::{
    Body, Plugd, Proxy, ProxyKind, QUICK, Running, chaos_manifest, eventually_async, external_manifest,
    is_interrupted_or_ok, python, zipped,
};

/// A plugd, and both proxies in front of it.
async fn behind_proxies() -> (Plugd, Vec<Proxy>) {
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_TRUSTED_PROXIES", "127.0.0.1")]].concat()).await;
    let start = |kind| Proxy::start(kind, plugd.address(), &[]);
    let proxies = join_all([ProxyKind::Nginx, ProxyKind::Caddy].map(start)).await;
    (plugd, proxies)
}

/// Waits until this many watches are open.
async fn watches(plugd: &Plugd, count: u32) {
    let line = format!("plugd_watches {count}");
    let is_so = async || {
        let metrics = String::from_utf8(plugd.rest().get("/metrics").await.bytes).unwrap();
        metrics.lines().any(|found| found == line).then_some(())
    };
    eventually_async(&line, is_so).await;
}

/// A package of more than 20 MB.
fn large_package() -> Vec<u8> {
    let filling: Vec<u8> = (0_u32..5_000_000).flat_map(u32::to_le_bytes).collect();
    let manifest = chaos_manifest(&["tame"]).to_string();
    zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("filling", &filling, 0o644)])
}

#[tokio::test]
async fn calls_and_watches_pass_through_a_proxy_and_who_goes_away_is_gone() {
    let (plugd, proxies) = behind_proxies().await;
    for proxy in &proxies {
        let api = proxy.api(plugd.token());
        let mut watch = api.live().await;
        let id = api.run(&["tame"]).await;
        watch.until_state(&id, ReportedState::Active).await;
        assert_eq!(api.get("nobody").await.unwrap_err().code(), Code::NotFound, "{:?}", proxy.kind);
        watches(&plugd, 1).await;
        drop(watch);
        watches(&plugd, 0).await;
    }
}

#[tokio::test]
async fn events_of_rest_pass_through_a_proxy_as_they_happen() {
    let (plugd, proxies) = behind_proxies().await;
    let id = plugd.api().install(&["tame"]).await;
    for proxy in &proxies {
        let mut events = proxy.rest(Some(plugd.token())).stream("/api/plugins/watch?live_only=true", &[]);
        assert!(events.head().await[0].contains("200"), "{:?}", proxy.kind);
        plugd.api().activate(&id).await.unwrap();
        events.until(|event| event.data.contains("\"active\"")).await;
        plugd.api().deactivate(&id).await.unwrap();
        drop(events);
        watches(&plugd, 0).await;
    }
}

#[tokio::test]
async fn a_plugin_that_runs_elsewhere_connects_through_a_proxy() {
    let (plugd, proxies) = behind_proxies().await;
    for proxy in &proxies {
        let api = proxy.api(plugd.token());
        let plugin = api.register(&external_manifest("outside")).await.unwrap();
        let mut watch = api.live().await;
        let url = format!("{}/rpc?token={}", proxy.url.replace("https", "wss"), plugin.token());
        let mut command = python("examples/python-echo/main.py", &[]);
        let running = Running::start(command.env("STORYDEN_RPC_URL", url).env("SSL_CERT_FILE", proxy.authority()));
        watch.until_state(&plugin.id, ReportedState::Active).await;
        running.interrupt();
        assert!(is_interrupted_or_ok(running.ended().await), "{:?}", proxy.kind);
        watch.until_state(&plugin.id, ReportedState::Connecting).await;
    }
}

#[tokio::test]
async fn the_console_is_signed_in_to_through_a_proxy_and_knows_its_own_site() {
    let (plugd, proxies) = behind_proxies().await;
    for proxy in &proxies {
        let browser = proxy.rest(None);
        let own = format!("origin: {}", proxy.url);
        let token = Body::Form(vec![("token", plugd.token().to_owned())]);
        let signed_in = browser.send("POST", "/sign-in", token, &[&own, "sec-fetch-site: same-origin"]).await;
        assert_eq!(signed_in.status, 303, "{signed_in:?}");
        let (cookie, attributes) = signed_in.header("set-cookie").unwrap().split_once(';').unwrap();
        assert!(attributes.contains("Secure") && attributes.contains("HttpOnly"), "{attributes}");
        let cookie = format!("cookie: {cookie}");
        let page = browser.send("GET", "/", Body::None, &[&cookie]).await;
        assert!(page.status == 200 && String::from_utf8_lossy(&page.bytes).contains("No plugins yet"), "{page:?}");
        // A browser that says no more than from which site a page is: plugd compares that with the host that it was asked for.
        for (origin, status) in [(own.as_str(), 200), ("origin: https://other.example", 403)] {
            let fields = [("name", "ci"), ("role", "viewer"), ("expiry", "1")];
            let form = Body::Form(fields.map(|(name, value)| (name, value.to_owned())).to_vec());
            let made = browser.send("POST", "/tokens", form, &[&cookie, origin]).await;
            assert_eq!(made.status, status, "{:?}: {origin}: {made:?}", proxy.kind);
        }
    }
}

#[tokio::test]
async fn a_package_of_20_megabytes_passes_through_a_proxy() {
    let (plugd, proxies) = behind_proxies().await;
    for proxy in &proxies {
        let by_rest = proxy.rest(Some(plugd.token())).install(large_package()).await;
        let api = proxy.api(plugd.token());
        let by_grpc = api.upload(large_package()).await.unwrap();
        let digest = &api.get(&by_rest).await.unwrap().package_digest;
        assert!(digest.is_some() && *digest == by_grpc.package_digest, "{:?}", proxy.kind);
    }
}

#[tokio::test]
async fn behind_a_proxy_the_audit_trail_has_the_clients_own_address() {
    let (plugd, proxies) = behind_proxies().await;
    for proxy in &proxies {
        // The client is at 127.0.0.2, says that it is at 192.0.2.7, and the proxy is at 127.0.0.1.
        proxy.api(plugd.token()).create_token("by gRPC", Role::Viewer).await;
        let body = Body::Json(json!({"active": "active"}));
        let forged = ["x-forwarded-for: 192.0.2.7"];
        let path = "/api/plugins/9m4e2mr0ui3e8a215n4g/active";
        proxy.rest(Some(plugd.token())).send("PATCH", path, body, &forged).await.problem(404);
    }
    let trail = plugd.api().access().list_audit_events(ListAuditEventsRequest::default()).await.unwrap().into_inner();
    let addresses: Vec<_> = trail.events.iter().map(|event| event.address.as_str()).collect();
    assert_eq!(addresses, ["127.0.0.2"; 4], "{trail:?}");
}

#[tokio::test]
async fn a_watch_on_which_nothing_happens_outlives_a_proxys_patience_by_its_heartbeats() {
    let plugd = Plugd::with(&[("PLUGD_HEARTBEAT", "300ms")]).await;
    let proxy = Proxy::start(ProxyKind::Nginx, plugd.address(), &[(" 1d;", " 1s;"), (" 10m;", " 1s;")]).await;
    let api = proxy.api(plugd.token());
    let mut watch = api.live().await;
    let mut events = proxy.rest(Some(plugd.token())).stream("/api/plugins/watch", &[]);
    events.head().await;
    let seldom = prost_types::Duration { seconds: 60, nanos: 0 };
    let silent = WatchStateRequest {
        start: Some(Start::LiveOnly(true)),
        heartbeat_interval: Some(seldom),
        ..WatchStateRequest::default()
    };
    let mut cut = api.watch(silent).await.unwrap();
    for _ in 0..8 {
        let Frame::Heartbeat(_) = watch.frame().await.unwrap() else { panic!("something happened") };
        events.until(|event| event.name == "heartbeat").await;
    }
    // One without heartbeats is not so lucky.
    cut.end().await;
    let id = plugd.api().install(&["tame"]).await;
    assert_eq!(watch.event().await.unwrap().plugin_id, id);
    events.until(|event| event.data.contains(&id)).await;
}
