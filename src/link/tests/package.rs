//! The package of a plugin, fetched with the token that it dials with.

use axum::{body::to_bytes, http::Request as HttpRequest};
use bytes::Bytes;
use tower::ServiceExt;

use super::*;
use crate::{
    domain::{Error, Reason},
    link::{Handshake, package_router},
};

struct Knows(&'static str);

impl Acceptor for Knows {
    fn authenticate(&self, handshake: Handshake) -> BoxFuture<'_, Result<Authenticated, Refusal>> {
        let Handshake { plugin_id, token, .. } = handshake;
        let is_known = token == self.0;
        Box::pin(async move {
            let credential = Credential::Epoch(0);
            let plugin = plugin_id.filter(|_| is_known).ok_or(Refusal::Unauthorised)?;
            Ok(Authenticated { plugin, credential, token: token.into() })
        })
    }

    fn attach(&self, _: Authenticated, _: Session) -> BoxFuture<'_, Result<Attached, Rejected>> {
        Box::pin(async { Err(Rejected) })
    }
}

/// What is answered to this token, where plugins have this package.
async fn answer(token: &str, package: Option<Bytes>) -> (u16, Bytes) {
    let package_of: PackageOf = Arc::new(move |_| {
        let package = package.clone().ok_or_else(|| Error::new(Reason::PackageNotFound, "no package"));
        async { package }.boxed()
    });
    let request = HttpRequest::get(format!("/rpc/package?plugin_id={PLUGIN}&token={token}"));
    let router = package_router(Arc::new(Knows("good")), package_of);
    let answer = router.oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
    (answer.status().as_u16(), to_bytes(answer.into_body(), usize::MAX).await.unwrap())
}

#[tokio::test]
async fn a_package_is_handed_out_whole_to_who_has_its_token_and_to_nobody_else() {
    let package = Bytes::from((0..1_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    assert_eq!(answer("good", Some(package.clone())).await, (200, package.clone()));
    assert_eq!(answer("bad", Some(package)).await.0, 401);
    assert_eq!(answer("good", None).await, (404, Bytes::from("no package")));
}
