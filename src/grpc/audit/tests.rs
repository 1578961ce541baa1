use std::{
    net::SocketAddr,
    task::{Context, Waker},
};

use axum::{body::Body, extract::ConnectInfo};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;

use super::*;
use crate::{
    domain::{
        Error, Reason,
        access::{AccessToken, Role},
    },
    grpc::{Access, Guard, convert, status::refusal, tokens::mint},
};

const DELETE: &str = "/plugd.v1.PluginService/DeletePlugin";
const CREATE: &str = "/plugd.v1.AccessService/CreateToken";
const GET: &str = "/plugd.v1.PluginService/GetPlugin";
const ID: &str = "9m4e2mr0ui3e8a215n4g";

/// Services behind a guard, and what it told the audit trail.
struct Fixture {
    guard: Arc<Guard>,
    answer: Arc<dyn Fn() -> BoxFuture<'static, Response>>,
    told: Arc<Mutex<Vec<AuditEvent>>>,
    secrets: [String; 2],
}

impl Fixture {
    /// With a service that answers as this function does.
    fn new<F: Future<Output = Response> + Send + 'static>(answer: impl Fn() -> F + 'static) -> Self {
        let (access, told) = (Access::default(), Arc::<Mutex<Vec<_>>>::default());
        let secrets = [Role::Admin, Role::Viewer].map(|role| {
            let (secret, hash) = mint();
            let (id, created) = (TokenId::from(xid::new()), Timestamp::now());
            access.insert(AccessToken { id, name: format!("{role:?}"), role, hash, created, expires: None });
            secret
        });
        let trail = Arc::clone(&told);
        let record = move |event| trail.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let guard = Arc::new(Guard::new(Arc::new(access), record));
        Self { guard, answer: Arc::new(move || answer().boxed()), told, secrets }
    }

    fn call(&self, path: &str, secret: &str) -> impl Future<Output = Response> + use<> {
        let peer: SocketAddr = "[::ffff:10.1.2.3]:4567".parse().unwrap();
        let request = Request::builder().uri(path).header("authorization", format!("Bearer {secret}"));
        let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let request = request.extension(ConnectInfo(peer)).body(Body::empty()).unwrap();
        let (guard, answer) = (Arc::clone(&self.guard), (self.answer)());
        async move { guard.pass(request, |_| answer).await }
    }

    fn told(&self) -> Vec<AuditEvent> {
        self.told.lock().unwrap().drain(..).collect()
    }
}

async fn done() -> Response {
    Response::new(Body::empty())
}

/// How an event ended, and what it was about.
fn outcome(event: &AuditEvent) -> (&str, Option<&str>, Option<String>) {
    (&event.code, event.reason.as_deref(), event.plugin.map(|id| id.to_string()))
}

#[tokio::test]
async fn an_event_says_who_did_what_from_where_and_how_it_ended() {
    let fixture = Fixture::new(|| async {
        convert::plugin_id(ID).unwrap();
        convert::plugin_id("00000000000000000000").unwrap();
        done().await
    });
    fixture.call(DELETE, &fixture.secrets[0]).await;
    let [event] = &fixture.told()[..] else { panic!("one call is one event") };
    assert_eq!(outcome(event), ("OK", None, Some(ID.to_owned())), "the first id counts");
    assert_eq!((event.principal.name.as_str(), event.principal.role), ("Admin", Role::Admin));
    assert_eq!(event.method, "plugd.v1.PluginService/DeletePlugin");
    assert_eq!(event.address, Some([10, 1, 2, 3].into()));
    assert_eq!(event.trace_id, "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_reason() {
    let fixture = Fixture::new(|| async {
        match convert::plugin_id("nothing") {
            Ok(_) => done().await,
            Err(error) => refusal(error),
        }
    });
    fixture.call(DELETE, &fixture.secrets[0]).await;
    fixture.call(DELETE, &fixture.secrets[1]).await;
    let told = fixture.told();
    assert_eq!(outcome(&told[0]), ("NOT_FOUND", Some("PLUGIN_NOT_FOUND"), None));
    assert_eq!(outcome(&told[1]), ("PERMISSION_DENIED", Some("PERMISSION_DENIED"), None));
    assert_eq!(told[1].principal.role, Role::Viewer);
}

/// Else a viewer could call until nothing but its refusals is in the trail.
#[tokio::test]
async fn a_caller_who_is_refused_again_and_again_is_told_of_once_for_each_method() {
    let fixture = Fixture::new(done);
    for path in [DELETE, DELETE, CREATE, DELETE] {
        fixture.call(path, &fixture.secrets[1]).await;
        fixture.call(path, &fixture.secrets[0]).await;
    }
    let told = fixture.told();
    let refused: Vec<_> = told.iter().filter(|event| !event.is_done()).map(|event| event.method.as_str()).collect();
    assert_eq!(refused, [DELETE, CREATE].map(|path| path.trim_start_matches('/')));
    assert_eq!(told.len() - refused.len(), 4, "what is done is always told");
}

#[tokio::test]
async fn reads_and_strangers_are_not_told_of() {
    let fixture = Fixture::new(|| async {
        about_plugin(ID.parse().unwrap());
        done().await
    });
    for (path, secret) in
        [(GET, &*fixture.secrets[0]), (DELETE, "nobody's"), ("/plugd.v1.None/Such", &fixture.secrets[0])]
    {
        fixture.call(path, secret).await;
    }
    assert_eq!(fixture.told(), []);
}

#[tokio::test]
async fn a_caller_who_goes_away_is_told_of_all_the_same() {
    let fixture = Fixture::new(|| async {
        about_token(TokenId::from_bytes([7; 12]));
        std::future::pending().await
    });
    let mut call = Box::pin(fixture.call(CREATE, &fixture.secrets[0]));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(fixture.told(), [], "it is not over");
    drop(call);
    let [event] = &fixture.told()[..] else { panic!("one call is one event") };
    assert_eq!((event.code.as_str(), event.token), ("CANCELLED", Some(TokenId::from_bytes([7; 12]))));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_told_of() {
    let fixture = Fixture::new(std::future::pending);
    let request = Request::builder().uri(DELETE).header("authorization", format!("Bearer {}", fixture.secrets[0]));
    let request = request.header("grpc-timeout", "1S").body(Body::empty()).unwrap();
    let answered = fixture.guard.pass(request, |_| (fixture.answer)());
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("it ends with its deadline");
    assert_eq!(outcome(&fixture.told()[0]), ("DEADLINE_EXCEEDED", Some("DEADLINE_EXCEEDED"), None));
}

#[test]
fn what_two_calls_are_about_is_not_mixed_up() {
    let fixture = Fixture::new(|| async { refusal(Error::new(Reason::Internal, "no")) });
    about_plugin(ID.parse().unwrap());
    fixture.call(DELETE, &fixture.secrets[0]).now_or_never().unwrap();
    assert_eq!(outcome(&fixture.told()[0]), ("INTERNAL", Some("INTERNAL"), None), "it is of no call");
}

fn token(number: usize) -> TokenId {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    TokenId::from_bytes(bytes)
}

#[tokio::test(start_paused = true)]
async fn of_each_token_and_method_one_call_an_hour_is_told() {
    let refusals = Refusals::default();
    assert!(refusals.is_told(token(1), "Delete"));
    assert!(!refusals.is_told(token(1), "Delete"));
    assert!(refusals.is_told(token(1), "Create") && refusals.is_told(token(2), "Delete"));
    tokio::time::advance(WINDOW - Duration::from_secs(1)).await;
    assert!(!refusals.is_told(token(1), "Delete"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(refusals.is_told(token(1), "Delete"));
}

#[tokio::test(start_paused = true)]
async fn many_tokens_fill_neither_the_memory_nor_the_trail() {
    let refusals = Refusals::default();
    let told = |upto: usize| (0..upto).filter(|number| refusals.is_told(token(*number), "Delete")).count();
    assert_eq!(told(MAX_TOLD + 5), MAX_TOLD);
    tokio::time::advance(WINDOW).await;
    assert_eq!(told(5), 5);
}
