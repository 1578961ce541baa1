//! The trace of a request: in the answer, in plugd's log, over REST and gRPC.

use plugd::api::v1::{GetPluginRequest, ListPluginsRequest};
use tonic::Request;

use crate::harness::{Body, Plugd, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traceparent() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-01")
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
