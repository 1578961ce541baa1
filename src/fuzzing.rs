//! What the fuzzer calls (`fuzz/`): a function for each thing that plugd reads of somebody else. What must hold of what was read is
//! asserted here; that nothing panics goes without saying.

use std::{convert::Infallible, fmt::Debug, future::ready, io, iter, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, HeaderValue, Request, Response, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, Full};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use tower::{ServiceExt, service_fn};

use crate::{
    api::{
        json,
        v1::{AccessToken, Role, WhoAmIResponse},
    },
    domain::{
        events::EventCatalog,
        manifest::Manifest,
        package::{LIMITS, Package, clean, reserved},
    },
    grpc,
    link::{self, Acceptor, Attached, Authenticated, Handshake, Refusal, Rejected, Session},
    logs::LogCursor,
    rest::{self, Backend},
    runtime::keeper::protocol::{Messages, Order, Report, encode},
};

/// A manifest that is taken is taken again as it is given back, and means the same.
pub fn manifest(bytes: &[u8]) {
    let catalog = EventCatalog::any();
    if let Ok(manifest) = Manifest::parse(bytes, &catalog) {
        let again = Manifest::from_value(Value::Object(manifest.to_map()), &catalog);
        assert_eq!(again, Ok(manifest));
    }
}

/// What a package is laid out from lands in the install directory, keeps the limits, and is all there.
pub fn package(bytes: &[u8]) {
    let Ok(package) = Package::read(Bytes::copy_from_slice(bytes), &EventCatalog::any()) else { return };
    let paths = package.files.iter().map(|file| &file.path).chain(&package.folders);
    for path in paths {
        assert_eq!((clean(path).as_ref(), reserved(path)), (Ok(path), None));
    }
    assert!(package.files.iter().map(|file| file.size).sum::<u64>() <= LIMITS.total);
    let stored =
        Package::stored(package.bytes.clone(), package.digest, package.manifest.clone()).expect("it was read before");
    assert_eq!(stored.files, package.files);
    let mut sizes = Vec::new();
    let mut sink = |_: &_, contents: &mut dyn io::Read| {
        sizes.push(io::copy(contents, &mut io::sink())?);
        Ok(())
    };
    stored.extract_each(&mut sink).expect("every file was read before");
    assert!(sizes.iter().eq(package.files.iter().map(|file| &file.size)));
}

/// What is answered to a frame is a JSON object.
pub fn frame(text: &str) {
    if let Some(answer) = link::answer_to(text) {
        assert!(serde_json::from_str::<Value>(&answer).is_ok_and(|answer| answer.is_object()), "{answer}");
    }
}

/// Whoever is let through to be authenticated shows a token, and says whose it is or has one that tells.
pub fn handshake(query: &str) {
    let Ok(request) = Request::get(format!("/rpc?{query}")).body(Body::empty()) else { return };
    let router = link::router(Arc::new(Nobody), link::Options::default(), TaskTracker::new(), link::Metrics::default());
    let status = router.oneshot(request).now_or_never().map(|answer| answer.expect("it never fails").status());
    assert!(matches!(status, Some(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED)), "{status:?}");
}

/// Lets nobody in.
struct Nobody;

impl Acceptor for Nobody {
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        assert!(!handshake.token.is_empty());
        assert!(handshake.plugin_id.is_some() || link::token::is_external(&handshake.token));
        Box::pin(async { Err(Refusal::Unauthorised) })
    }

    fn attach(&self, _: Authenticated, _: Session) -> BoxFuture<'_, Result<Attached, Rejected>> {
        Box::pin(async { Err(Rejected) })
    }
}

/// A body is taken to the service, or refused as the client's fault; and what travels there can be read again as it was.
pub fn rest_body(body: &[u8]) {
    thread_local! {
        static SHIM: (Runtime, Router) = (runtime(), shim());
    }
    for path in ["configuration", "manifest", "active"] {
        let request = Request::patch(format!("/api/plugins/9m4e2mr0ui3e8a215n4g/{path}"))
            .header(AUTHORIZATION, "Bearer admin")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_vec()))
            .expect("it is well formed");
        let answer = SHIM.with(|(runtime, router)| runtime.block_on(router.clone().oneshot(request)));
        let status = answer.expect("it never fails").status();
        assert!(status.is_client_error(), "{path}: {status}");
    }
    if let Ok(Value::Object(object)) = json::parse(body)
        && let Ok(sent) = json::to_struct(&object)
    {
        let received = json::read_struct(&sent).expect("JSON has finite numbers only");
        assert_eq!(json::to_struct(&received), Ok(sent));
    }
}

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_time().build().expect("it takes no descriptors")
}

/// The REST shim before a service that takes whoever calls for an administrator, and refuses what they want.
fn shim() -> Router {
    let service = service_fn(async |request: Request<tonic::body::Body>| {
        let is_who_am_i = request.uri().path().ends_with("/WhoAmI");
        let token = AccessToken { role: Role::Admin.into(), ..AccessToken::default() };
        let message = WhoAmIResponse { token: Some(token) }.encode_to_vec();
        // Not compressed, and this long.
        let frame = [&[0, 0, 0, 0, message.len() as u8], &*message].concat();
        let (status, body) = if is_who_am_i { (Code::Ok, frame) } else { (Code::FailedPrecondition, Vec::new()) };
        let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from(status as i32))]);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body).with_trailers(ready(Some(Ok(trailers))))))
    });
    rest::router(rest::App::new(Backend::new(service, service), rest::Options::default()))
}

/// A place that is read from a text is spelled so that it is read as the same.
pub fn cursor(text: &str) {
    if let Ok(cursor) = text.parse::<LogCursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
    grpc::fuzz_cursor(text);
}

/// Messages are the same whatever the pieces in which they come, and are read again as they were.
pub fn keeper(bytes: &[u8]) {
    messages::<Order>(bytes);
    messages::<Report>(bytes);
}

fn messages<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let read = |size: usize| {
        let mut messages = Messages::new();
        let outcome = bytes.chunks(size).try_for_each(|piece| messages.push(piece));
        (iter::from_fn(move || messages.next()).collect::<Vec<T>>(), outcome.is_ok())
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(1), whole);
    let mut again = Messages::<T>::new();
    for message in &whole.0 {
        again.push(&encode(message).expect("it was JSON")).expect("it was read before");
    }
    assert!(iter::from_fn(|| again.next()).eq(whole.0));
}
