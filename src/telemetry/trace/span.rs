//! What a collector of traces is told: something that took time, what it was a part of, and what came of it. The names of what is
//! said are OpenTelemetry's conventions; `plugd.plugin.id` and `plugd.run.id` are plugd's own.
//!
//! Nothing here says a credential: of a request's address there is no more than its path, and of its headers nothing.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::HeaderValue,
    middleware::{self, Next},
    response::Response,
};
use opentelemetry::{
    KeyValue, Value,
    trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer},
};
use opentelemetry_sdk::trace::Span as Recorded;
use tonic::Code;

use super::{Parent, TRACEPARENT, TRACESTATE, export, is_grpc, shown, theirs};
use crate::domain::{PluginId, RunId, text::shorten};

/// Most characters of the name of a method, and of the words about a failure, which others choose.
const MAX_WORDS: usize = 200;

/// Methods that are told by their names; clients can make up any number of others.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What the others are told as, and calls of gRPC of methods that there are not.
const OTHER: &str = "_OTHER";

/// The plugin and the run that something is about.
const PLUGIN_ID: &str = "plugd.plugin.id";
const RUN_ID: &str = "plugd.run.id";

/// Something that takes time. It ends when this is dropped; the collector is told of it then, if there is one.
#[derive(Debug, Default)]
pub struct Span {
    recorded: Option<Box<Recorded>>,
    parent: Option<Parent>,
}

impl Span {
    /// Begins as a part of a parent, or else as the first of a new trace. What there is to say of it is asked for only if there is
    /// a collector.
    fn begin<N: Into<Cow<'static, str>>>(
        kind: SpanKind,
        parent: Option<Parent>,
        describe: impl FnOnce() -> (N, Vec<KeyValue>),
    ) -> Self {
        let recorded = export::tracer().map(|tracer| {
            let (name, attributes) = describe();
            let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
            let context = parent.map(Parent::context).unwrap_or_default();
            Box::new(tracer.build_with_context(builder, &context))
        });
        Self { recorded, parent }
    }

    /// The answer to a request, whose headers name it from now on: what is done for the request is a part of it.
    pub fn serve(request: &mut Request, is_call: IsCall) -> Self {
        if !export::is_on() {
            return Self::default();
        }
        let span = Self::begin(SpanKind::Server, Parent::of(request.headers()), || asked(request, is_call));
        let headers = request.headers_mut();
        if theirs(headers).is_none() {
            headers.remove(TRACESTATE);
        }
        // Digits and hyphens are always a header's value.
        if let Some(name) = span.parent().and_then(|parent| HeaderValue::try_from(parent.to_string()).ok()) {
            headers.insert(TRACEPARENT, name);
        }
        span
    }

    /// The start or the stop of a run.
    pub fn of_run(name: &'static str, (plugin, run): (PluginId, RunId), parent: Option<Parent>) -> Self {
        Self::begin(SpanKind::Internal, parent, || (name, of_run(plugin, run)))
    }

    /// A call of a plugin's method.
    pub fn to_plugin(plugin: PluginId, method: &str, parent: Option<Parent>) -> Self {
        Self::begin(SpanKind::Client, parent, || {
            let (method, mut attributes) = json_rpc(method);
            attributes.push(KeyValue::new(PLUGIN_ID, plugin.to_string()));
            (method, attributes)
        })
    }

    /// A call that a plugin makes.
    pub fn from_plugin((plugin, run): (PluginId, RunId), method: &str, parent: Option<Parent>) -> Self {
        Self::begin(SpanKind::Server, parent, || {
            let (method, mut attributes) = json_rpc(method);
            attributes.append(&mut of_run(plugin, run));
            (method, attributes)
        })
    }

    /// What is a part of it has this as its parent; where there is no collector, what it would have been a part of itself.
    pub fn parent(&self) -> Option<Parent> {
        self.recorded.as_ref().and_then(|span| Parent::below(span.span_context())).or(self.parent)
    }

    /// Says what else there is to know.
    fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// It failed, in these words.
    pub fn fail(&mut self, words: &str) {
        if let Some(span) = &mut self.recorded {
            span.set_status(Status::error(shorten(words, MAX_WORDS)));
        }
    }

    /// A call of JSON-RPC failed with this code, if the other side said one.
    pub fn refused(&mut self, code: Option<i64>, words: &str) {
        if let Some(code) = code {
            self.note("rpc.jsonrpc.error_code", code);
        }
        self.fail(words);
    }

    /// A request's answer has begun. A stream goes on after that, for days maybe, and is not waited for: who looks at a trace wants to
    /// see it today.
    pub fn answered(mut self, response: &Response) {
        match self.recorded {
            None => {}
            Some(_) if is_grpc(response.headers()) => self.call_answered(response),
            Some(_) => self.request_answered(response),
        }
    }

    fn call_answered(&mut self, response: &Response) {
        let code = tonic::Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
        self.note("rpc.grpc.status_code", i64::from(i32::from(code)));
        // The others are the client's own fault, or no failure.
        let is_failure = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        if is_failure {
            self.fail(code.description());
        }
    }

    fn request_answered(&mut self, response: &Response) {
        let status = response.status();
        if let (Some(span), Some(Route(method, path))) = (&mut self.recorded, response.extensions().get()) {
            span.update_name(format!("{method} {}", path.as_str()));
            span.set_attribute(KeyValue::new("http.route", path.as_str().to_owned()));
        }
        self.note("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.fail(status.canonical_reason().unwrap_or_default());
        }
    }
}

/// Whether gRPC has a method at this path: `/service/method`. Clients can make up any number of others.
pub type IsCall = fn(&str) -> bool;

/// The name of a request, and what there is to say of it.
fn asked(request: &Request, is_call: IsCall) -> (String, Vec<KeyValue>) {
    let path = shown(request.uri().path());
    if !is_grpc(request.headers()) {
        let method = method(request);
        let attributes = vec![KeyValue::new("http.request.method", method), KeyValue::new("url.path", path)];
        return (method.to_owned(), attributes);
    }
    let system = KeyValue::new("rpc.system", "grpc");
    let known = path.strip_prefix('/').filter(|_| is_call(&path)).and_then(|call| Some((call, call.split_once('/')?)));
    let Some((call, (service, method))) = known else {
        let attributes = vec![system, KeyValue::new("rpc.method", OTHER), KeyValue::new("url.path", path)];
        return (OTHER.to_owned(), attributes);
    };
    let service = KeyValue::new("rpc.service", service.to_owned());
    (call.to_owned(), vec![system, service, KeyValue::new("rpc.method", method.to_owned())])
}

fn method(request: &Request) -> &'static str {
    METHODS.into_iter().find(|known| request.method() == known).unwrap_or(OTHER)
}

/// The name of a call of JSON-RPC, and what there is to say of it.
fn json_rpc(method: &str) -> (String, Vec<KeyValue>) {
    let method = shorten(method, MAX_WORDS);
    let attributes = vec![KeyValue::new("rpc.system", "jsonrpc"), KeyValue::new("rpc.method", method.clone())];
    (method, attributes)
}

fn of_run(plugin: PluginId, run: RunId) -> Vec<KeyValue> {
    vec![KeyValue::new(PLUGIN_ID, plugin.to_string()), KeyValue::new(RUN_ID, run.to_string())]
}

/// Which route a request took, for its span: in the extensions of the response.
#[derive(Clone)]
struct Route(&'static str, MatchedPath);

/// A router that tells spans which of its routes a request took. Only where there are spans.
pub fn with_routes(router: Router) -> Router {
    if !export::is_on() {
        return router;
    }
    router.layer(middleware::from_fn(async |path: Option<MatchedPath>, request: Request, next: Next| {
        let method = method(&request);
        let mut response = next.run(request).await;
        if let Some(path) = path {
            response.extensions_mut().insert(Route(method, path));
        }
        response
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn of_a_request_its_method_and_the_beginning_of_its_path_are_told_and_nothing_that_may_be_secret() {
        let long = "x".repeat(1000);
        let request = Request::builder().method("BREW").uri(format!("/{long}?token=secret"));
        let request = request.header("authorization", "Bearer secret").body(Body::empty()).unwrap();
        let (name, attributes) = asked(&request, |_| true);
        assert_eq!(name, OTHER);
        assert_eq!(attributes[1], KeyValue::new("url.path", format!("/{}", "x".repeat(199))));
        assert!(!format!("{attributes:?}").contains("secret"), "{attributes:?}");
    }

    #[test]
    fn a_call_is_told_by_its_name_only_if_there_is_such_a_method() {
        let named = |path: &str| {
            let request = Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
            asked(&request, |path| path == "/service/method")
        };
        let (name, attributes) = named("/service/method");
        assert_eq!((name.as_str(), &attributes[2]), ("service/method", &KeyValue::new("rpc.method", "method")));
        for path in ["/service/other", "/", "/service"] {
            let (name, attributes) = named(path);
            assert_eq!((name.as_str(), &attributes[1]), (OTHER, &KeyValue::new("rpc.method", OTHER)), "{path}");
            assert_eq!(attributes[2], KeyValue::new("url.path", path.to_owned()));
        }
    }

    #[test]
    fn the_name_of_a_method_is_told_as_far_as_it_is_short() {
        let (name, attributes) = json_rpc(&"m".repeat(1000));
        assert!(name.chars().count() <= MAX_WORDS, "{name}");
        assert_eq!(attributes[1], KeyValue::new("rpc.method", name));
    }
}
