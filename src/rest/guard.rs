//! What stands before every operation that needs a credential.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::COOKIE},
    middleware::Next,
    response::Response,
};

use super::{
    App,
    caller::{self, Caller},
    error::Problem,
    site,
};
use crate::api::v1::{ListPluginsRequest, SetActiveStateRequest};

/// An operation as its guard knows it.
#[derive(Clone)]
pub(super) struct Guard {
    /// For the backend and the options.
    pub(super) app: App,
    /// What the operation needs of its caller.
    pub(super) access: Access,
    /// How long the operation may take until its response begins.
    pub(super) deadline: Duration,
}

/// What an operation needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Public,
    /// A credential that may read.
    Read,
    /// A credential that may write.
    Write,
}

impl Access {
    /// Does the operation need no credential?
    pub(super) fn is_public(self) -> bool {
        self == Self::Public
    }
}

/// Refuses a request without a credential, and a write from another site with a cookie; then runs the operation within
/// its deadline.
///
/// Whether a credential is good the service says when it is called. But a request that the shim itself finds wrong
/// never gets there, and it must be 401 or 403 rather than 400 to whom it may not concern (CONTRACT 1.2). So only then the
/// service is asked, with a call that needs the same role and has no effect.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Result<Response, Problem> {
    guard.within_deadline(guard.forget_dead_cookie(request.headers_mut())).await?;
    let caller = Caller::of(request.headers());
    guard.admit(&caller, &request)?;
    let response = guard.within_deadline(next.run(request)).await?;
    if response.extensions().get::<Problem>().is_some_and(Problem::is_local) {
        guard.within_deadline(ask_the_service(guard.app.clone(), guard.access, caller)).await??;
    }
    Ok(response)
}

impl Guard {
    /// A cookie that is no good, or is another application's on the same host, does not stand in the way of a bearer
    /// token (CONTRACT 1.2).
    async fn forget_dead_cookie(&self, headers: &mut HeaderMap) {
        if self.access.is_public() || !caller::has_cookie_and_bearer(headers) {
            return;
        }
        let asked = ask_the_service(self.app.clone(), Access::Read, Caller::of(headers)).await;
        if asked.is_err_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) {
            headers.remove(COOKIE);
        }
    }

    fn admit(&self, caller: &Caller, request: &Request) -> Result<(), Problem> {
        if caller.is_anonymous() && !self.access.is_public() {
            return Err(Problem::unauthenticated());
        }
        let is_write = self.access == Access::Write;
        if is_write && caller.has_cookie() { site::require_own_site(request, &self.app.options) } else { Ok(()) }
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = T>) -> Result<T, Problem> {
        tokio::time::timeout(self.deadline, work).await.map_err(|_| Problem::deadline())
    }
}

/// May the caller do this at all? Fails only with the service's 401 or 403.
async fn ask_the_service(app: App, access: Access, caller: Caller) -> Result<(), Problem> {
    let mut client = app.backend.unary();
    let refusal = match access {
        Access::Public => None,
        Access::Read => client.list_plugins(caller.request(harmless_read())).await.err(),
        Access::Write => client.set_active_state(caller.request(harmless_write())).await.err(),
    };
    match refusal.map(Problem::from).filter(Problem::is_about_the_caller) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

fn harmless_read() -> ListPluginsRequest {
    ListPluginsRequest { page_size: 1, ..Default::default() }
}

/// No plugin has the empty id, so that this is refused to everybody: as not found only to whoever may write.
fn harmless_write() -> SetActiveStateRequest {
    SetActiveStateRequest { return_immediately: true, ..Default::default() }
}
