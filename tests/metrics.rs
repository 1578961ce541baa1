//! Metrics: who may read them, what they say, and that nothing is left of a plugin that is gone.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use plugd::api::v1::{ReportedState, Role};

use crate::harness::{Plugd, QUICK, eventually_async, free_address, state_of};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// What a series says; nothing if there is none.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

async fn scrape(plugd: &Plugd) -> String {
    let answer = plugd.rest().get("/metrics").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    String::from_utf8(answer.bytes).unwrap()
}

/// Waits until the plugin is in error.
async fn failed(plugd: &Plugd, id: &str) {
    let api = plugd.api();
    let is_failed = async || (state_of(&api.get(id).await.unwrap()) == ReportedState::Error).then_some(());
    eventually_async("its error", is_failed).await;
}

#[tokio::test]
async fn metrics_tell_what_plugins_do_and_forget_those_that_are_gone() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (tame, crashing) = (api.run(&["tame"]).await, api.install(&["exit", "3"]).await);
    api.begin(&crashing).await;
    failed(&plugd, &crashing).await;
    let text = scrape(&plugd).await;
    for (series, wanted) in [
        (format!("plugd_plugin_state{{plugin_id=\"{tame}\",state=\"active\"}}"), 1.0),
        (format!("plugd_plugin_state{{plugin_id=\"{tame}\",state=\"error\"}}"), 0.0),
        (format!("plugd_plugin_state{{plugin_id=\"{crashing}\",state=\"error\"}}"), 1.0),
        (format!("plugd_plugin_desired_active{{plugin_id=\"{crashing}\"}}"), 1.0),
        (format!("plugd_plugin_starts_total{{plugin_id=\"{tame}\"}}"), 1.0),
        (format!("plugd_plugin_starts_total{{plugin_id=\"{crashing}\"}}"), 4.0),
        // One more than there are restarts.
        (format!("plugd_plugin_failures_total{{plugin_id=\"{crashing}\",cause=\"exit\"}}"), 4.0),
        ("plugd_plugin_start_duration_seconds_count".to_owned(), 1.0),
        ("plugd_store_healthy".to_owned(), 1.0),
        ("plugd_plugin_connections".to_owned(), 1.0),
    ] {
        assert_eq!(value(&text, &series), Some(wanted), "{series}\n{text}");
    }
    let installs = "rpc_server_call_duration_seconds_count{rpc_method=\"plugd.v1.PluginService/InstallPlugin\",\
                    rpc_response_status_code=\"OK\"}";
    assert_eq!(value(&text, installs), Some(2.0), "{text}");

    api.delete(&crashing).await.unwrap();
    let text = scrape(&plugd).await;
    assert!(text.contains(&tame) && !text.contains(&crashing), "{text}");
}

#[tokio::test]
async fn metrics_are_for_those_who_may_read_and_for_everybody_on_a_port_of_their_own() {
    let port = free_address().to_string();
    let knobs = [QUICK, &[("PLUGD_METRICS_LISTEN", port.as_str())]].concat();
    let plugd = Plugd::with(&knobs).await;
    let (_, viewer) = plugd.api().create_token("viewer", Role::Viewer).await;
    let (_, host) = plugd.api().create_token("host", Role::Host).await;
    for (token, status) in [(viewer.as_str(), 200), (host.as_str(), 403), ("plugd_nobodys", 401)] {
        let answer = plugd.rest().with_token(token).get("/metrics").await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let accept = format!("accept: {OPEN_METRICS};version=1.0.0,text/plain;q=0.5");
    let open = plugd.rest().send("GET", "/metrics", crate::harness::Body::None, &[&accept]).await;
    assert!(open.header("content-type").unwrap().starts_with(OPEN_METRICS) && open.bytes.ends_with(b"# EOF\n"));
    let anybody = Command::new("curl").args(["-sS", &format!("http://{port}/metrics")]).output().unwrap();
    let text = String::from_utf8(anybody.stdout).unwrap();
    assert_eq!(value(&text, "plugd_store_healthy"), Some(1.0), "{text}");
    let elsewhere = Command::new("curl").args(["-sS", &format!("http://{port}/api/plugins")]).output().unwrap();
    assert!(!String::from_utf8_lossy(&elsewhere.stdout).contains("plugins\":"), "{elsewhere:?}");
}

#[tokio::test]
async fn prometheus_finds_no_fault_with_what_is_measured() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let text = scrape(&plugd).await;
    let mut promtool = Command::new("promtool");
    let piped = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut checking = piped.stderr(Stdio::piped()).spawn().unwrap();
    checking.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = checking.wait_with_output().unwrap();
    assert!(checked.status.success() && checked.stdout.is_empty() && checked.stderr.is_empty(), "{checked:?}\n{text}");
}
