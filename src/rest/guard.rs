//! What stands before every operation that needs a credential.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::COOKIE},
    middleware::Next,
    response::Response,
};
use tokio::time::timeout;
use tonic::Status;

use super::{
    App,
    caller::{self, Caller},
    error::Problem,
    site,
};
use crate::api::v1::{ListPluginsRequest, SetActiveStateRequest};

/// How long the service may take to say whether a credential is good.
const ASKING: Duration = Duration::from_secs(10);

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

/// Refuses a request without a good credential, and a write from another site with a cookie; then runs the operation
/// within its deadline.
///
/// Whether a credential is good only the service knows. Before a write it is asked, with a call that needs the same role
/// and has no effect: otherwise anybody could have large bodies read, or hold a connection by sending none. The call of a
/// read itself says it; but a request that the shim finds wrong never gets there, and it must be 401 or 403 rather than
/// 400 to whom it may not concern (CONTRACT 1.2), so then the service is asked afterwards.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Result<Response, Problem> {
    guard.forget_dead_cookie(request.headers_mut()).await;
    let caller = Caller::of(request.headers());
    guard.require_credential(&caller)?;
    if guard.access == Access::Write {
        // Whether the credential is good comes first: about a request of nobody nothing else is said.
        guard.ask(harmless_write(&guard.app, &caller)).await?;
        guard.require_own_site(&caller, &request)?;
    }
    let response = guard.within_deadline(next.run(request)).await?;
    let is_unasked = response.extensions().get::<Problem>().is_some_and(Problem::is_local);
    if is_unasked && guard.access == Access::Read {
        guard.ask(harmless_read(&guard.app, &caller)).await?;
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
        let asked = self.ask(harmless_read(&self.app, &Caller::of(headers))).await;
        if asked.is_err_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) {
            headers.remove(COOKIE);
        }
    }

    fn require_credential(&self, caller: &Caller) -> Result<(), Problem> {
        let is_missing = caller.is_anonymous() && !self.access.is_public();
        if is_missing { Err(Problem::unauthenticated()) } else { Ok(()) }
    }

    fn require_own_site(&self, caller: &Caller, request: &Request) -> Result<(), Problem> {
        if caller.has_cookie() { site::require_own_site(request, &self.app.options) } else { Ok(()) }
    }

    /// May the caller do this at all? An error of the service does not say so; any other answer means nothing.
    async fn ask(&self, call: impl Future<Output = Result<(), Status>>) -> Result<(), Problem> {
        let answer = timeout(ASKING, call).await.map_err(|_| Problem::deadline())?;
        match answer.map_err(Problem::from) {
            Err(problem) if problem.is_about_the_caller() || problem.status().is_server_error() => Err(problem),
            _ => Ok(()),
        }
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = T>) -> Result<T, Problem> {
        timeout(self.deadline, work).await.map_err(|_| Problem::deadline())
    }
}

async fn harmless_read(app: &App, caller: &Caller) -> Result<(), Status> {
    let message = ListPluginsRequest { page_size: 1, ..Default::default() };
    app.backend.unary().list_plugins(caller.request(message)).await.map(drop)
}

/// No plugin has the empty id, so that this is refused to everybody: as not found only to whoever may write.
async fn harmless_write(app: &App, caller: &Caller) -> Result<(), Status> {
    let message = SetActiveStateRequest { return_immediately: true, ..Default::default() };
    app.backend.unary().set_active_state(caller.request(message)).await.map(drop)
}
