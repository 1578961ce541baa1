//! What a real collector is told.

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState, Tracer, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SdkTracerProvider},
};
use plugd::api::{
    json::to_struct,
    v1::{CallPluginRequest, ListPluginsRequest, WatchStateRequest},
};
use serde_json::{Value, json};
use tonic::Request;

use super::{CALLER, TRACE, activate, traceparent};
use crate::{
    contract::support::{Application, publish},
    harness::{
        Collector, Plugd, QUICK, Span, chaos, kill_9, rest_shim_trusting, status_of, url_told_to, variable_of, within,
    },
};

/// The route of a change of the active state.
const ACTIVE: &str = "PATCH /api/plugins/{plugin_instance_id}/active";

async fn plugd_with(collector: &Collector) -> Plugd {
    Plugd::with(&[QUICK, &collector.settings()].concat()).await
}

/// Does something as another service, which tells the collector of it as a part of what it was told of.
async fn work(service: &'static str, collector: &Collector, traceparent: &str) {
    let parts: Vec<_> = traceparent.split('-').collect();
    let (trace, span) = (u128::from_str_radix(parts[1], 16).unwrap(), u64::from_str_radix(parts[2], 16).unwrap());
    let parent = SpanContext::new(trace.into(), span.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(collector.endpoint()).build().unwrap();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .with_resource(Resource::builder_empty().with_service_name(service).build())
        .build();
    let context = Context::new().with_remote_span_context(parent);
    drop(provider.tracer(service).start_with_context("work", &context));
    tokio::task::spawn_blocking(move || provider.shutdown()).await.unwrap().unwrap();
}

/// The spans of one PATCH are one tree: of the caller, of REST, of gRPC, of the plugin's start, of what the plugin does, of what it
/// calls, and of what the application does for that.
#[tokio::test]
async fn a_start_over_rest_is_one_tree_from_its_caller_to_the_plugin_and_the_application() {
    let mut collector = Collector::start().await;
    let plugd = plugd_with(&collector).await;
    let mut application = Application::serve(&plugd.api(), &["greet"]).await;
    let id = plugd.rest().install(chaos(&["ask", "greet"])).await;

    activate(&plugd, &id, Some(&traceparent())).await;
    let call = application.call().await;
    work("application", &collector, call.traceparent.as_deref().unwrap()).await;
    application.reply(&call, &json!({})).await;
    work("plugin", &collector, &variable_of(&plugd, &id, "TRACEPARENT").await.unwrap()).await;

    let rest = collector.below(CALLER, ACTIVE).await;
    let grpc = collector.below(&rest.id, "plugd.v1.PluginService/SetActiveState").await;
    let start = collector.below(&grpc.id, "start").await;
    let greet = collector.below(&start.id, "greet").await;
    let of_plugin = collector.below(&start.id, "work").await;
    let of_application = collector.below(&greet.id, "work").await;
    assert_eq!([&*of_plugin.service, &*of_application.service, &*rest.service], ["plugin", "application", "plugd"]);
    assert_eq!([rest.kind, grpc.kind, start.kind, greet.kind], [2, 2, 1, 2]);
    assert_eq!(start.says("plugd.plugin.id"), Some(&*id));
    assert_eq!(start.says("plugd.run.id"), Some(&*call.run_id));
    let said = |span: &Span, pairs: &[(&str, &str)]| {
        pairs.iter().for_each(|(key, value)| assert_eq!(span.says(key), Some(*value), "{key} {span:?}"));
        assert_eq!(span.failure, None, "{span:?}");
    };
    said(&rest, &[("http.request.method", "PATCH"), ("http.response.status_code", "200")]);
    said(&rest, &[("http.route", "/api/plugins/{plugin_instance_id}/active")]);
    said(&grpc, &[("rpc.system", "grpc"), ("rpc.service", "plugd.v1.PluginService")]);
    said(&grpc, &[("rpc.method", "SetActiveState"), ("rpc.grpc.status_code", "0")]);
    said(&greet, &[("rpc.system", "jsonrpc"), ("rpc.method", "greet"), ("plugd.plugin.id", &id)]);
    // Whatever else is of the trace is in the tree, too.
    let spans = collector.of(TRACE);
    for span in &spans {
        assert!(span.parent == CALLER || spans.iter().any(|other| other.id == span.parent), "{span:?}");
    }
    let dialled = url_told_to(&plugd, &id).await;
    let (_, token) = dialled.split_once("token=").unwrap();
    assert!(!collector.told.contains(token) && !collector.told.contains(plugd.token()), "{}", collector.told);
}

#[tokio::test]
async fn a_request_through_a_shim_of_its_own_is_one_tree_over_both_processes() {
    let mut collector = Collector::start().await;
    let plugd = plugd_with(&collector).await;
    let settings = collector.settings().map(|(name, value)| (name, value.to_owned()));
    let settings = [settings.as_slice(), &[("OTEL_SERVICE_NAME", "shim".to_owned())]].concat();
    let (_shim, rest) = rest_shim_trusting(&plugd, &settings).await;
    let answer = rest.get("/api/plugins").await;
    let trace = answer.header("x-trace-id").unwrap().to_owned();

    let list = collector.find(|span| span.trace == trace && span.name.ends_with("/ListPlugins")).await;
    let request = collector.find(|span| span.id == list.parent).await;

    assert_eq!((&*request.service, &*request.name, &*request.parent), ("shim", "GET /api/plugins", ""));
    assert_eq!(list.service, "plugd");
}

#[tokio::test]
async fn a_restart_is_told_with_its_call_and_one_after_a_crash_as_a_trace_of_its_own() {
    let mut collector = Collector::start().await;
    let plugd = plugd_with(&collector).await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    api.restart(&id).await.unwrap();
    let restart = collector.find(|span| span.name == "plugd.v1.PluginService/RestartPlugin").await;
    let (stop, start) = (collector.below(&restart.id, "stop").await, collector.below(&restart.id, "start").await);
    assert_ne!(stop.says("plugd.run.id"), start.says("plugd.run.id"));

    kill_9(status_of(&api.get(&id).await.unwrap()).pid.unwrap());

    let crashed = start.says("plugd.run.id");
    let after = |span: &Span, name: &str| span.name == name && span.parent.is_empty();
    let clearing = collector.find(|span| after(span, "stop") && span.says("plugd.run.id") == crashed).await;
    let again = collector.find(|span| after(span, "start") && span.says("plugd.plugin.id") == Some(&*id)).await;
    assert_eq!((clearing.failure, again.failure), (None, None));
    assert!(clearing.trace != restart.trace && again.trace != restart.trace);
}

#[tokio::test]
async fn a_start_that_fails_is_told_with_why() {
    let mut collector = Collector::start().await;
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_MAX_RESTART_ATTEMPTS", "1")], &collector.settings()].concat()).await;
    let id = plugd.api().install(&["exit", "42"]).await;
    plugd.api().activate(&id).await.unwrap_err();
    let call = collector.find(|span| span.name == "plugd.v1.PluginService/SetActiveState").await;
    let start = collector.below(&call.id, "start").await;
    assert_eq!(start.failure.as_deref(), Some("exit status 42"));
    // It is the client's to know, not plugd's failure.
    assert_eq!((call.says("rpc.grpc.status_code"), call.failure.as_ref()), (Some("9"), None));
}

#[tokio::test]
async fn a_call_of_a_plugin_and_an_event_are_told_as_parts_of_their_calls() {
    let mut collector = Collector::start().await;
    let plugd = plugd_with(&collector).await;
    let id = plugd.api().run(&["tame"]).await;
    let params = json!({"arguments": {"a": 1}});
    for method in ["robot_tool_call", "unheard_of"] {
        let params = Some(to_struct(params.as_object().unwrap()).unwrap());
        let (plugin_id, method) = (id.clone(), method.to_owned());
        let mut request = Request::new(CallPluginRequest { plugin_id, method, params, timeout: None });
        request.metadata_mut().insert("traceparent", traceparent().parse().unwrap());
        let _ = within("a call", plugd.api().bus().call_plugin(request)).await;
    }
    let calls = "plugd.v1.BusService/CallPlugin";
    let done = collector.find(|span| span.name == "robot_tool_call").await;
    let call = collector.find(|span| span.id == done.parent).await;
    let refused = collector.find(|span| span.name == "unheard_of").await;
    assert_eq!((&*call.name, &*call.parent, done.kind, done.failure.clone()), (calls, CALLER, 3, None));
    assert_eq!(refused.says("rpc.jsonrpc.error_code"), Some("-32601"));
    assert!(refused.failure.is_some(), "{refused:?}");

    let body: Value = json!({"name": "EventThreadPublished", "payload": {}});
    let (name, payload) = ("EventThreadPublished", &body["payload"]);
    publish(&plugd.api(), name, payload).await;
    let event = collector.find(|span| span.name == "event").await;
    let publish = collector.find(|span| span.id == event.parent).await;
    assert_eq!(publish.name, "plugd.v1.BusService/PublishEvent");
}

/// A stream may last for days.
#[tokio::test]
async fn a_stream_is_told_of_when_it_has_begun() {
    let mut collector = Collector::start().await;
    let plugd = plugd_with(&collector).await;
    let _watch = plugd.api().watch(WatchStateRequest::default()).await.unwrap();
    let _events = plugd.rest().stream("/api/plugins/watch", &[]);
    collector.find(|span| span.name == "plugd.v1.PluginService/WatchState" && span.parent.is_empty()).await;
    collector.find(|span| span.name == "GET /api/plugins/watch").await;
}

#[tokio::test]
async fn what_the_caller_does_not_record_is_not_told_and_a_sampler_decides_of_the_rest() {
    let mut collector = Collector::start().await;
    let knobs = [QUICK, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], &collector.settings()].concat();
    let plugd = Plugd::with(&knobs).await;
    let mut plugins = plugd.api().plugins();
    let unrecorded = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00".to_owned();
    for named in [None, Some(unrecorded), Some(traceparent())] {
        let mut request = Request::new(ListPluginsRequest::default());
        if let Some(named) = named {
            request.metadata_mut().insert("traceparent", named.parse().unwrap());
        }
        plugins.list_plugins(request).await.unwrap();
    }
    let list = collector.find(|_| true).await;
    assert_eq!((&*list.name, &*list.trace), ("plugd.v1.PluginService/ListPlugins", TRACE));
}
