use std::collections::BTreeSet;

use axum::{body::Body, response::IntoResponse};
use futures_util::FutureExt;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::grpc::tokens::mint;
use crate::{
    api::DESCRIPTOR_SET,
    domain::{TokenId, access::AccessToken},
};

const GET: &str = "/plugd.v1.PluginService/GetPlugin";
const DELETE: &str = "/plugd.v1.PluginService/DeletePlugin";
const PUBLISH: &str = "/plugd.v1.BusService/PublishEvent";
const CHECK: &str = "/grpc.health.v1.Health/Check";

fn mk_access() -> (Arc<Access>, [String; 3]) {
    let access = Access::default();
    let secrets = [Role::Admin, Role::Viewer, Role::Host].map(|role| {
        let (secret, hash) = mint();
        let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
        access.insert(AccessToken { id, name: format!("{role:?}"), role, hash, created, expires: None });
        secret
    });
    (Arc::new(access), secrets)
}

fn mk_request(path: &str, authorization: Option<&str>) -> Request {
    let mut request = http::Request::builder().uri(path);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    request.body(Body::empty()).unwrap()
}

fn guard(access: &Arc<Access>) -> Guard {
    Guard::new(Arc::clone(access), |_| {})
}

/// Sends a request to a service that answers with the name of its caller; the status of a refusal.
fn send(access: &Arc<Access>, request: Request) -> Result<String, Status> {
    let answer = async |request: Request| {
        let caller = request.extensions().get::<Caller>();
        caller.map(|caller| caller.token().name.clone()).unwrap_or_default().into_response()
    };
    let response = guard(access).pass(request, answer).now_or_never().unwrap();
    match Status::from_header_map(response.headers()) {
        Some(refusal) => Err(refusal),
        None => {
            let name = axum::body::to_bytes(response.into_body(), 100).now_or_never().unwrap().unwrap();
            Ok(String::from_utf8(name.to_vec()).unwrap())
        }
    }
}

/// A call with this timeout of a service that never answers.
async fn call_for_ever(timeout: &str) -> Status {
    let (access, [admin, ..]) = mk_access();
    let mut request = mk_request(GET, Some(&format!("Bearer {admin}")));
    request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
    let guard = guard(&access);
    let answered = guard.pass(request, |_| std::future::pending());
    let answered = tokio::time::timeout(Duration::from_secs(3600), answered).await;
    Status::from_header_map(answered.expect("it was never answered").headers()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_deadline_whatever_its_service_does() {
    let begun = tokio::time::Instant::now();
    let late = call_for_ever("60S").await;
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert_eq!(late.get_details_error_info().unwrap().reason, "DEADLINE_EXCEEDED");
    let seconds = begun.elapsed().as_secs_f64();
    assert!((60.0..61.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_can_not_be_read_is_refused() {
    let refusal = call_for_ever("soon").await;
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, "grpc-timeout");
}

#[test]
fn a_request_without_a_good_token_is_unauthenticated() {
    let (access, [admin, ..]) = mk_access();
    let wrong = format!("Bearer {}", mint().0);
    let basic = format!("Basic {admin}");
    for authorization in [None, Some(""), Some("Bearer"), Some("Bearer "), Some(&*wrong), Some(&*basic), Some(&*admin)]
    {
        let refusal = send(&access, mk_request(GET, authorization)).unwrap_err();
        assert_eq!(refusal.code(), Code::Unauthenticated, "{authorization:?}");
        assert_eq!(refusal.get_details_error_info().unwrap().reason, "UNAUTHENTICATED");
    }
}

#[test]
fn each_role_may_do_its_own_and_only_that() {
    let (access, [admin, viewer, host]) = mk_access();
    let may = |secret: &str, path: &str| send(&access, mk_request(path, Some(&format!("bearer {secret}"))));
    let allowed = |secret: &str| [GET, DELETE, PUBLISH].map(|path| may(secret, path).is_ok());
    assert_eq!(allowed(&admin), [true, true, true]);
    assert_eq!(allowed(&viewer), [true, false, false]);
    assert_eq!(allowed(&host), [false, false, true]);
    let refusal = may(&viewer, DELETE).unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "PERMISSION_DENIED");
    assert_eq!(refusal.message(), "this token is a viewer's: DeletePlugin needs an admin's");
    assert_eq!(may(&host, PUBLISH).unwrap(), "Host");
}

#[test]
fn health_answers_everybody() {
    let (access, _) = mk_access();
    assert_eq!(send(&access, mk_request(CHECK, None)).unwrap(), "");
    assert_eq!(send(&access, mk_request(CHECK, Some("Bearer wrong"))).unwrap(), "");
}

#[test]
fn a_service_asked_past_the_guard_knows_no_caller() {
    assert_eq!(caller(&tonic::Request::new(())).unwrap_err().code(), Code::Unauthenticated);
}

#[test]
fn the_table_has_exactly_the_methods_of_the_api() {
    let mut methods = BTreeSet::new();
    for file in FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap().file {
        for service in &file.service {
            let path = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    let table: BTreeSet<_> = METHODS.iter().map(|(path, ..)| (*path).to_owned()).collect();
    assert_eq!(table, methods);
    assert_eq!(table.len(), METHODS.len());
}

#[test]
fn there_are_the_methods_of_the_table_and_of_the_open_services_and_no_others() {
    for path in [GET, CHECK, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        assert!(is_method(path), "{path}");
    }
    for path in
        ["", "/", "/grpc.health.v1.Health/Other", "/plugd.v1.PluginService/Check", "grpc.health.v1.Health/Check"]
    {
        assert!(!is_method(path), "{path}");
    }
}

/// So that a method that is new is not taken for a read, and escapes the audit trail.
#[test]
fn what_changes_nothing_is_named_like_a_read_or_is_the_bus() {
    const READS: [&str; 5] = ["Get", "List", "Watch", "Stream", "Download"];
    for (path, permission, effect) in METHODS {
        let name = path.rsplit('/').next().unwrap();
        let is_read = name == "WhoAmI" || READS.iter().any(|verb| name.starts_with(verb));
        assert_eq!(*effect == Leaves, is_read || *permission == Bus, "{path}");
    }
}

#[test]
fn a_method_that_changes_something_is_found_by_its_name() {
    let full = "plugd.v1.PluginService/DeletePlugin";
    assert_eq!([changing_method("DeletePlugin"), changing_method(full)], [Some(full); 2]);
    for name in ["", "Plugin", "deletePlugin", "GetPlugin", "PluginService/DeletePlugin"] {
        assert_eq!(changing_method(name), None, "{name}");
    }
}

#[tokio::test]
async fn bad_tokens_from_one_address_are_refused_after_a_while_and_a_good_one_is_not() {
    let (access, [admin, ..]) = mk_access();
    let guard = guard(&access);
    let send = async |secret: &str, address: &str| {
        let mut request = mk_request(GET, Some(&format!("Bearer {secret}")));
        let peer: std::net::SocketAddr = format!("{address}:1").parse().unwrap();
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
        Status::from_header_map(guard.pass(request, async |_| ().into_response()).await.headers())
    };
    for _ in 0..100 {
        assert_eq!(send("bad", "10.0.0.1").await.unwrap().code(), Code::Unauthenticated);
    }
    let refused = send("bad", "10.0.0.1").await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "TOO_MANY_FAILED_ATTEMPTS");
    let delay = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((1..=60).contains(&delay.as_secs()), "{delay:?}");
    assert!(send(&admin, "10.0.0.1").await.is_none(), "an administrator behind the same address");
    assert_eq!(send("bad", "10.0.0.2").await.unwrap().code(), Code::Unauthenticated);
}

#[test]
fn health_and_reflection_are_open_and_the_unknown_is_for_administrators() {
    let needed = |path| method(path).map(|(_, permission, _)| *permission);
    assert_eq!(needed("/grpc.health.v1.Health/Check"), None);
    assert_eq!(needed("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"), None);
    for path in ["", "/", "/plugd.v1.PluginService/Nope", "grpc.health.v1.Health/Check", "/grpc.health.v1.Health"] {
        assert_eq!(needed(path), Some(Write), "{path}");
    }
    assert_eq!(needed("/plugd.v1.PluginService/WatchState"), Some(Read));
}

/// Of two nodes one makes a token, and the other is asked with it before it has heard of that.
#[tokio::test]
async fn a_token_that_is_not_known_is_looked_for_before_it_is_refused_but_not_for_who_sent_too_many() {
    let (access, _) = mk_access();
    let looks = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (secret, hash) = mint();
    let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
    let made = AccessToken { id, name: "late".to_owned(), role: Role::Viewer, hash, created, expires: None };
    let (counted, table) = (Arc::clone(&looks), Arc::downgrade(&access));
    access.look_again(move || {
        // The second look finds it.
        if counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            table.upgrade().unwrap().insert(made.clone());
        }
        Box::pin(async {})
    });
    let guard = guard(&access);
    let send = async |secret: &str| {
        let request = mk_request(GET, Some(&format!("Bearer {secret}")));
        Status::from_header_map(guard.pass(request, async |_| ().into_response()).await.headers())
    };
    assert_eq!(send(&secret).await.unwrap().code(), Code::Unauthenticated);
    assert!(send(&secret).await.is_none(), "it is known by then");
    assert!(send(&secret).await.is_none());
    let tokenless = guard.pass(mk_request(GET, None), async |_| ().into_response()).await;
    assert_eq!(Status::from_header_map(tokenless.headers()).unwrap().code(), Code::Unauthenticated);
    assert_eq!(looks.load(std::sync::atomic::Ordering::Relaxed), 2, "neither what is known is looked for, nor nothing");
    for _ in 0..200 {
        send("bad").await.unwrap();
    }
    assert_eq!(looks.load(std::sync::atomic::Ordering::Relaxed), 100, "so many bad ones from one address, and no more");
}
