//! Webhooks: what receivers are told, in which order, and what becomes of those that are away.

use axum::http::StatusCode;
use plugd::api::v1::{
    CreateHookRequest, DeleteHookRequest, EnableHookRequest, Hook, ListHooksRequest, ReportedState,
    ReportedState::{Active, Error, Inactive, Restarting},
    Role, RotateHookSecretRequest, TestHookRequest,
};
use serde_json::json;
use tonic::Code;

use crate::harness::{
    Api, Knobs, Plugd, Posted, Receiver, Run, cli, eventually, eventually_async, field_violations, program, python,
    reason,
};

/// Receivers of tests are on this host.
const AT_HOME: Knobs =
    &[("PLUGD_FETCH_PRIVATE", "true"), ("PLUGD_BACKOFF", "20ms"), ("PLUGIN_MAX_BACKOFF_DURATION", "100ms")];

/// Makes a webhook; returns it with its secret.
async fn add(api: &Api, url: String, states: &[ReportedState]) -> (Hook, String) {
    let states = states.iter().map(|state| i32::from(*state)).collect();
    let request = CreateHookRequest { url, states, plugin_ids: Vec::new() };
    let made = api.hooks().create_hook(request).await.unwrap().into_inner();
    (made.hook.unwrap(), made.secret)
}

async fn list(api: &Api) -> Vec<Hook> {
    api.hooks().list_hooks(ListHooksRequest::default()).await.unwrap().into_inner().hooks
}

/// Waits until the only webhook is so.
async fn until(api: &Api, what: &str, is_so: impl Fn(&Hook) -> bool) -> Hook {
    let look = async || list(api).await.pop().filter(&is_so);
    eventually_async(what, look).await
}

/// The states that were told of, each once, in the order in which they came first.
fn told(posted: &[Posted]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut states = Vec::new();
    for event in posted.iter().map(Posted::event) {
        if !seen.contains(&event["id"]) {
            states.push(event["data"]["state"].as_str().unwrap().to_owned());
            seen.push(event["id"].clone());
        }
    }
    states
}

/// Starts and stops a plugin so often.
async fn toggle(api: &Api, id: &str, times: usize) {
    for _ in 0..times {
        api.activate(id).await.unwrap();
        api.deactivate(id).await.unwrap();
    }
}

/// What the library of Standard Webhooks says of these.
async fn verified(secret: &str, posted: &[Posted]) -> Vec<String> {
    let lines = posted.iter().map(|posted| {
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> =
            headers.into_iter().map(|name| (name.to_owned(), posted.header(name).into())).collect();
        format!("{}\n", json!({ "headers": headers, "body": posted.body }))
    });
    let input = lines.collect::<String>().into_bytes();
    let output = python("tests/python/verify_webhook.py", &[secret]).run_with(input).await;
    output.text().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_crash_loop_is_told_of_in_order_and_signed_so_that_a_library_believes_it() {
    let (plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let api = plugd.api();
    let (_, secret) = add(&api, receiver.url(), &[Restarting, Error]).await;
    let id = api.install(&["exit", "3"]).await;
    api.activate(&id).await.unwrap_err();

    let posted = receiver.until(4).await;

    assert_eq!(told(&posted), ["restarting", "restarting", "restarting", "error"]);
    let event = posted[3].event();
    assert_eq!((&event["type"], &event["subject"]), (&json!("plugd.plugin.state.error"), &json!(id)));
    assert_eq!(event["data"]["failure"]["exit_code"], 3);
    assert_eq!(posted[3].header("webhook-id"), event["id"]);
    let ids: Vec<_> = posted.iter().map(|posted| posted.header("webhook-id").to_owned()).collect();
    assert_eq!(verified(&secret, &posted).await, ids);
    let other = format!("{}AAAA=", &secret[..secret.len() - 5]);
    assert_eq!(verified(&other, &posted).await, ["forged"; 4]);
}

#[tokio::test]
async fn what_happened_while_a_receiver_was_down_and_plugd_was_killed_arrives_in_order() {
    let (mut plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let url = receiver.url();
    let address = receiver.stop().await;
    let api = plugd.api();
    add(&api, url, &[Active, Inactive]).await;
    let id = api.install(&["tame"]).await;
    toggle(&api, &id, 5).await;
    until(&api, "a failure", |hook| hook.failure_count > 0).await;

    plugd.kill_9().await;
    plugd.restart().await;

    let api = plugd.api();
    toggle(&api, &id, 5).await;
    let receiver = Receiver::at(address).await;
    let [hook] = list(&api).await.try_into().unwrap();
    api.hooks().enable_hook(EnableHookRequest { hook_id: hook.id }).await.unwrap();
    // Its installation is the first.
    let expected = [&["inactive"][..], &["active", "inactive"].repeat(10)].concat();
    eventually("all has arrived", || Some(told(&receiver.posted())).filter(|told| told.len() >= expected.len())).await;
    assert_eq!(told(&receiver.posted()), expected);
    let caught_up = until(&api, "its end", |hook| hook.behind_revisions == 0).await;
    assert_eq!((caught_up.failure_count, caught_up.last_error.as_str()), (0, ""));
}

#[tokio::test]
async fn nothing_is_lost_when_plugd_is_killed_amid_deliveries() {
    let (mut plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let api = plugd.api();
    add(&api, receiver.url(), &[Active, Inactive]).await;
    let id = api.install(&["tame"]).await;
    for _ in 0..3 {
        toggle(&plugd.api(), &id, 3).await;
        plugd.kill_9().await;
        plugd.restart().await;
    }
    let expected = [&["inactive"][..], &["active", "inactive"].repeat(9)].concat();
    eventually("all has arrived", || Some(told(&receiver.posted())).filter(|told| told.len() >= expected.len())).await;
    assert_eq!(told(&receiver.posted()), expected);
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_neither_plugins_nor_other_receivers() {
    let (plugd, silent, good) = (Plugd::with(AT_HOME).await, Receiver::start().await, Receiver::start().await);
    let api = plugd.api();
    silent.fall_silent();
    add(&api, silent.url(), &[Active, Inactive]).await;
    add(&api, good.url(), &[Active, Inactive]).await;
    let id = api.install(&["tame"]).await;
    silent.until(1).await;

    toggle(&api, &id, 5).await;

    good.until(11).await;
    assert_eq!(told(&silent.posted()), ["inactive"], "one request at a time");
    let [mut stuck, free] = list(&api).await.try_into().unwrap();
    if stuck.url != silent.url() {
        stuck = free;
    }
    assert!(stuck.behind_revisions > 0, "{stuck:?}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_its_webhook_is_enabled() {
    let (plugd, receiver, other) = (Plugd::with(AT_HOME).await, Receiver::start().await, Receiver::start().await);
    let api = plugd.api();
    receiver.answer(StatusCode::GONE);
    let (hook, _) = add(&api, receiver.url(), &[Active]).await;
    add(&api, other.url(), &[Active]).await;
    let id = api.install(&["tame"]).await;
    toggle(&api, &id, 1).await;
    let is_disabled = async || list(&api).await.into_iter().find(|listed| listed.id == hook.id && !listed.enabled);
    let disabled = eventually_async("its end", is_disabled).await;
    assert_eq!((disabled.last_error.as_str(), disabled.next_attempt_time), ("the receiver answered 410 Gone", None));
    toggle(&api, &id, 2).await;
    // By then this one would have been told, too.
    other.until(3).await;
    assert_eq!(receiver.posted().len(), 1);
    let measured = String::from_utf8(plugd.rest().get("/metrics").await.bytes).unwrap();
    for line in [
        format!("plugd_hook_enabled{{hook_id=\"{}\"}} 0", hook.id),
        "plugd_hook_deliveries_total{outcome=\"gone\"} 1".into(),
    ] {
        assert!(measured.contains(&line), "{line}\n{measured}");
    }

    receiver.answer(StatusCode::OK);
    api.hooks().enable_hook(EnableHookRequest { hook_id: hook.id }).await.unwrap();

    let posted = receiver.until(4).await;
    assert_eq!(told(&posted), ["active"; 3]);
    assert_eq!(posted[0].header("webhook-id"), posted[1].header("webhook-id"), "the same event once more");
}

#[tokio::test]
async fn a_test_event_says_whether_it_arrived_and_a_new_secret_signs() {
    let (plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let api = plugd.api();
    let (hook, old) = add(&api, receiver.url(), &[Error]).await;
    let test = TestHookRequest { hook_id: hook.id.clone() };
    api.hooks().test_hook(test.clone()).await.unwrap();
    let rotate = RotateHookSecretRequest { hook_id: hook.id.clone() };
    let new = api.hooks().rotate_hook_secret(rotate).await.unwrap().into_inner().secret;
    api.hooks().test_hook(test.clone()).await.unwrap();
    let posted = receiver.posted();
    assert_eq!(posted[1].event()["type"], "plugd.hook.test");
    assert_eq!(verified(&old, &posted).await, [posted[0].header("webhook-id"), "forged"]);
    assert_eq!(verified(&new, &posted).await, ["forged", posted[1].header("webhook-id")]);

    receiver.answer(StatusCode::TEMPORARY_REDIRECT);
    let failed = api.hooks().test_hook(test).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::FailedPrecondition, "DELIVERY_FAILED"));
    assert!(failed.message().ends_with("redirects are not followed"), "{failed:?}");
    assert_eq!(receiver.posted().len(), 3);
}

#[tokio::test]
async fn private_addresses_are_refused_unless_the_operator_allows_them() {
    let (strict, lenient) = (Plugd::start().await, Plugd::with(AT_HOME).await);
    let refused = async |plugd: &Plugd, url: &str| {
        let request = CreateHookRequest { url: url.to_owned(), states: vec![Error.into()], plugin_ids: Vec::new() };
        plugd.api().hooks().create_hook(request).await.map_err(|status| field_violations(&status)).map(drop)
    };
    for url in
        ["http://127.0.0.1/", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "http://host.test/"]
    {
        assert_eq!(refused(&strict, url).await, Err(vec!["url".to_owned()]), "{url}");
        assert_eq!(refused(&lenient, url).await, Ok(()), "{url}");
    }
    for url in ["https://169.254.169.254/", "http://8.8.8.8/", "https://me:secret@host.test/", "ftp://host.test/"] {
        assert_eq!(refused(&lenient, url).await, Err(vec!["url".to_owned()]), "{url}");
    }
}

#[tokio::test]
async fn who_only_reads_sees_how_webhooks_fare_and_no_secret_and_changes_none() {
    let plugd = Plugd::with(AT_HOME).await;
    let (hook, secret) = add(&plugd.api(), "https://host.test:8443/secret?secret".to_owned(), &[Error]).await;
    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let api = plugd.api_as(Some(&viewer));
    let listed = list(&api).await;
    assert_eq!((listed[0].id.as_str(), listed[0].url.as_str()), (hook.id.as_str(), "https://host.test:8443"));
    assert!(!format!("{listed:?}").contains(&secret));
    let refused = api.hooks().delete_hook(DeleteHookRequest { hook_id: hook.id.clone() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let deleted = plugd.api().hooks().delete_hook(DeleteHookRequest { hook_id: hook.id.clone() }).await.unwrap();
    assert_eq!(deleted.into_inner().hook.unwrap().url, "https://host.test:8443/secret?secret");
    assert_eq!(list(&api).await, []);
    let audit = cli(&plugd, &["audit", "--method", "DeleteHook", "-o", "json"]).run().await.json();
    assert!(
        audit.as_array().unwrap().iter().any(|event| event["hook_id"] == hook.id && event["code"] == "OK"),
        "{audit}"
    );
}

#[tokio::test]
async fn a_restored_backup_goes_on_with_the_webhooks_that_it_has() {
    let (mut plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let api = plugd.api();
    let (_, secret) = add(&api, receiver.url(), &[Active]).await;
    let id = api.run(&["tame"]).await;
    receiver.until(1).await;
    api.deactivate(&id).await.unwrap();
    until(&api, "all is told", |hook| hook.behind_revisions == 0).await;
    let file = plugd.scratch().join("plugd.backup");
    assert!(plugd.sigterm().await.0.success());
    let on = |folder: &std::path::Path, args: [&str; 2]| {
        let mut command = program(env!("CARGO_BIN_EXE_plugd"));
        command.arg("--data-dir").arg(folder).args(args);
        command
    };
    on(&plugd.data_dir(), ["backup", file.to_str().unwrap()]).run().await.text();
    let token = plugd.token().to_owned();
    let restored = Plugd::filled(AT_HOME, &token, async |folder| {
        on(folder, ["restore", file.to_str().unwrap()]).run().await.text();
    })
    .await;
    let api = restored.api();
    let activated = api.activate(&id).await.unwrap();
    until(&api, "all is told", |hook| hook.behind_revisions == 0).await;
    let posted = receiver.posted();
    let revisions: Vec<_> = posted[1..].iter().map(|posted| posted.event()["data"]["revision"].clone()).collect();
    assert_eq!(revisions, [activated.revision], "what came before the backup is not told of once more");
    assert_eq!(verified(&secret, &posted[1..]).await, [posted[1].header("webhook-id")]);
}

#[tokio::test]
async fn operators_manage_webhooks_from_the_command_line() {
    let (plugd, receiver) = (Plugd::with(AT_HOME).await, Receiver::start().await);
    let url = receiver.url();
    let id = plugd.api().install(&["tame"]).await;
    let added = cli(&plugd, &["hook", "add", &url, "--on", "active,error", "--plugin", &id]).run().await;
    let secret = added.text();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let listed = cli(&plugd, &["hook", "list", "-o", "json"]).run().await.json();
    assert_eq!((&listed[0]["states"], &listed[0]["plugin_ids"]), (&json!(["active", "error"]), &json!([id])));
    assert_eq!(listed[0].get("secret"), None);
    cli(&plugd, &["hook", "test", &url]).run().await.text();
    assert_eq!(verified(secret.trim(), &receiver.posted()).await, [receiver.posted()[0].header("webhook-id")]);
    let other = cli(&plugd, &["hook", "rotate-secret", &url, "-o", "json"]).run().await.json();
    assert_ne!(other["secret"], secret.trim());
    cli(&plugd, &["hook", "enable", &url]).run().await.text();
    cli(&plugd, &["hook", "remove", &url]).run().await.text();
    assert_eq!(cli(&plugd, &["hook", "list", "-o", "json"]).run().await.json(), json!([]));
}
