//! Archives on their way in: all of one arrives, or the service sees an error.

use std::{io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tower::ServiceExt;

use super::{
    Harness, LIMIT, admin,
    fake::{Ended, Fake},
    path,
};
use crate::{
    api::v1::{access_service_server::AccessServiceServer, plugin_service_server::PluginServiceServer},
    rest::{App, Backend, MAX_BODY, Options, router},
};

fn zip(body: Body) -> axum::http::Request<Body> {
    admin("POST", "/api/plugins").header("content-type", "application/zip").body(body).unwrap()
}

/// A body that sends some bytes and then fails.
fn failing() -> Body {
    let parts = [Ok(Bytes::from_static(b"PK")), Err(io::Error::other("the connection is gone"))];
    Body::from_stream(stream::iter(parts))
}

/// The shim over a real connection.
async fn over_a_network(options: Options) -> Harness {
    let fake = Arc::new(Fake::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(PluginServiceServer::from_arc(fake.clone()))
        .add_service(AccessServiceServer::from_arc(fake.clone()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let channel = Endpoint::try_from(format!("http://{address}")).unwrap().connect_lazy();
    let (health, _) = tonic_health::server::health_reporter();
    Harness { router: router(App::new(Backend::new(channel.clone(), channel), options)), fake, health }
}

#[tokio::test]
async fn an_archive_arrives_whole_in_chunks_that_are_not_too_large() {
    let harness = Harness::with(Options::default());
    let answer = harness.send(zip(Body::from(vec![7; 600 * 1024]))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let kib = 1024;
    assert_eq!(harness.fake.upload().await, Ended::Whole(vec![0, 256 * kib, 256 * kib, 88 * kib]));
}

#[tokio::test]
async fn a_zip_is_one_by_whatever_name_browsers_have_for_it() {
    for media in
        ["application/zip", "application/x-zip-compressed", "Application/X-Zip-Compressed; q=1", "application/x-zip"]
    {
        for (method, path) in [("POST", "/api/plugins".to_owned()), ("PATCH", path("/package"))] {
            let request = admin(method, &path).header("content-type", media).body(Body::from("PK")).unwrap();
            assert_eq!(Harness::new().send(request).await.status, StatusCode::OK, "{media} {path}");
        }
    }
    let request = admin("POST", "/api/plugins").header("content-type", "application/octet-stream");
    let answer = Harness::new().send(request.body(Body::from("PK")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn an_update_says_first_which_plugin() {
    let harness = Harness::new();
    let request = admin("PATCH", &path("/package")).header("content-type", "application/zip");
    let answer = harness.send(request.body(Body::from("PK")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(harness.fake.seen()[1].contains(super::ID));
    assert_eq!(harness.fake.upload().await, Ended::Whole(vec![2]));
}

#[tokio::test]
async fn a_body_that_fails_is_an_error_to_the_service() {
    for harness in [Harness::new(), over_a_network(Options::default()).await] {
        let answer = harness.send(zip(failing())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(matches!(harness.fake.upload().await, Ended::Broken(_)));
    }
}

#[tokio::test]
async fn a_body_shorter_than_declared_is_an_error_to_the_service() {
    let harness = Harness::new();
    let request = admin("POST", "/api/plugins").header("content-type", "application/zip");
    let answer = harness.send(request.header("content-length", 3).body(Body::from("PK")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(harness.fake.upload().await, Ended::Broken(Code::DataLoss));
}

#[tokio::test]
async fn a_body_that_outgrows_the_limit_is_an_error_to_the_service() {
    let chunks =
        || Body::from_stream(stream::repeat(Ok::<_, std::convert::Infallible>(Bytes::from(vec![7; LIMIT / 2 + 1]))));
    let options = Options { max_body: LIMIT, ..Options::default() };
    for harness in [Harness::new(), over_a_network(options).await] {
        assert_eq!(harness.send(zip(chunks())).await.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(matches!(harness.fake.upload().await, Ended::Broken(_)));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_an_error_to_the_service() {
    for harness in [Harness::new(), over_a_network(Options::default()).await] {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        // The first bytes come at once; the body fails when the client is gone.
        let rest = stream::once(async move { Err(receiver.await.map_err(io::Error::other).err().unwrap()) });
        let body = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"PK"))]).chain(rest));
        let mut response = Box::pin(harness.router.clone().oneshot(zip(body)));
        let begun = async {
            while harness.fake.seen().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut response => panic!("answered before the end"),
            () = begun => {}
        }
        drop(response);
        drop(sender);
        assert!(matches!(harness.fake.upload().await, Ended::Broken(_)));
    }
}

#[tokio::test]
async fn an_upload_by_somebody_who_may_not_is_refused() {
    let harness = Harness::new();
    let request = super::bearer("viewer", "POST", "/api/plugins").header("content-type", "application/zip");
    assert_eq!(harness.send(request.body(Body::from("PK")).unwrap()).await.status, StatusCode::FORBIDDEN);
    let request = super::bearer("viewer", "POST", "/api/plugins").header("content-type", "application/zip");
    assert_eq!(harness.send(request.body(failing()).unwrap()).await.status, StatusCode::FORBIDDEN);
}

#[test]
fn the_limit_is_the_contracts() {
    assert_eq!((Options::default().max_body, MAX_BODY), (52_428_800, 52_428_800));
}
