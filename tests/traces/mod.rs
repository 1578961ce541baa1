//! The trace of a request: in the answer, in plugd's log, over REST and gRPC; passed on to plugins and applications; and told to a
//! collector.

mod collected;
mod lost;

use plugd::api::v1::{GetPluginRequest, ListPluginsRequest};
use serde_json::json;
use tonic::Request;

use crate::harness::{Body, Plugd, QUICK, Run, eventually, serve, variable_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The caller's own span.
const CALLER: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// Activates a plugin over REST, as a part of this trace, if it is one.
async fn activate(plugd: &Plugd, id: &str, traceparent: Option<&str>) {
    let header = traceparent.map(|traceparent| format!("traceparent: {traceparent}"));
    let headers: Vec<_> = header.iter().map(String::as_str).collect();
    let body = Body::Json(json!({"active": "active"}));
    plugd.rest().send("PATCH", &format!("/api/plugins/{id}/active"), body, &headers).await.expect(200);
}

/// Waits until plugd's log has lines of this trace that say this, too.
async fn logged(plugd: &Plugd, trace: &str, what: &str) {
    let is_there = || plugd.said().lines().any(|line| line.contains(trace) && line.contains(what)).then_some(());
    eventually(&format!("a line of the log with {trace} and {what}"), is_there).await;
}

#[tokio::test]
async fn an_error_over_rest_is_found_in_the_log_by_its_trace() {
    let plugd = Plugd::with(&[("PLUGD_LOG", "info")]).await;
    let nobody = "/api/plugins/9m4e2mr0ui3e8a215n4g";
    for header in [None, Some(format!("traceparent: {}", traceparent()))] {
        let headers: Vec<_> = header.iter().map(String::as_str).collect();
        let answer = plugd.rest().send("GET", nobody, Body::None, &headers).await;
        let trace = answer.problem(404)["trace_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("x-trace-id"), Some(trace.as_str()));
        assert_eq!(header.is_some(), trace == TRACE);
        logged(&plugd, &trace, nobody).await;
    }
}

#[tokio::test]
async fn a_call_over_grpc_has_a_trace_in_its_metadata_and_in_the_log() {
    let plugd = Plugd::with(&[("PLUGD_LOG", "info")]).await;
    let mut plugins = plugd.api().plugins();
    let listed = plugins.list_plugins(ListPluginsRequest::default()).await.unwrap();
    let of_success = listed.metadata().get("x-trace-id").expect("a trace").to_str().unwrap().to_owned();

    let mut request = Request::new(GetPluginRequest::default());
    request.metadata_mut().insert("traceparent", traceparent().parse().unwrap());
    let refused = plugins.get_plugin(request).await.unwrap_err();

    assert_eq!((of_success.len(), of_success == TRACE), (32, false));
    assert_eq!(refused.metadata().get("x-trace-id").expect("a trace"), TRACE);
    logged(&plugd, TRACE, "GetPlugin").await;
}

#[tokio::test]
async fn a_plugin_is_told_the_trace_that_somebody_records_and_no_other() {
    let plugd = Plugd::with(&[QUICK, &[("TRACEPARENT", "00-1-1-01"), ("PLUGD_ENV_ALLOW", "TRACE*")]].concat()).await;
    let unrecorded = traceparent().replace("-01", "-00");
    let recorded = traceparent();
    for (named, told) in [(Some(recorded.as_str()), true), (Some(unrecorded.as_str()), false), (None, false)] {
        let id = plugd.api().install(&["tame"]).await;
        activate(&plugd, &id, named).await;
        let variable = variable_of(&plugd, &id, "TRACEPARENT").await;
        assert_eq!(variable.as_deref(), named.filter(|_| told), "{named:?}");
    }
}

#[tokio::test]
async fn what_the_environment_asks_of_traces_is_refused_where_it_is_not_served() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    for (name, value, served) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "grpc"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp and none"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a number from 1"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "No such file"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/nowhere.pem", "and its key together"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let output = serve(home.path(), &[]).envs([endpoint, (name, value)]).run().await;
        assert_eq!(output.code(), Some(2), "{output:?}");
        for word in [name, value, served] {
            assert!(output.stderr.contains(word), "{word}: {output:?}");
        }
    }
}
