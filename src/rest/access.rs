//! The guard before every operation that needs a credential: who calls, whether they may, and for how long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        Extensions, HeaderMap, HeaderName, Method, StatusCode,
        header::{AUTHORIZATION, COOKIE, HOST, ORIGIN},
        uri::PathAndQuery,
    },
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tonic::metadata::{Ascii, MetadataValue};

use super::{App, Options, error::Problem, request::Origin, system};
use crate::{
    api::v1::{AccessToken, ListPluginsRequest, Role, WhoAmIRequest},
    domain::access::is_own_origin,
};

/// The cookies with a token: Storyden's (CONTRACT 1.2), and that of the console, which has a name of its own because ports of one
/// host share their cookies.
pub(crate) const COOKIE_NAMES: [&str; 2] = ["storyden-session", CONSOLE_COOKIE];

/// The cookie that the console sets.
pub(crate) const CONSOLE_COOKIE: &str = "plugd-session";

/// Where a request comes from, as its browser sees it (W3C Fetch Metadata). Pages can't set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How long the service may take to say whose a credential is, or whether it serves.
pub(super) const ASKING: Duration = Duration::from_secs(10);

/// How long it is remembered whose a credential is. A token that is revoked meanwhile is good for nothing all the same: the
/// service looks at the credential of each call.
const REMEMBERED: Duration = Duration::from_secs(5);

/// Credentials that are remembered.
const MAX_REMEMBERED: usize = 1024;

/// Time until the response of a read begins.
pub(super) const QUICK: Duration = Duration::from_secs(30);

/// Time until the response of an operation begins that waits for a plugin to settle, or for its turn: the five minutes of the
/// service, and some more so that it answers first.
const SETTLING: Duration = Duration::from_secs(330);

/// Time until the response of an operation that takes an archive begins: five minutes in which it may wait its turn, the ten
/// that its bytes may take, and those in which the plugin settles.
const TRANSFERRING: Duration = Duration::from_secs(300 + 600 + 330);

/// What a request proves who sent it with. An extension of every request that passed [`guard`].
#[derive(Clone)]
pub(crate) struct Credential {
    /// What the calls carry that the request becomes.
    pub(super) origin: Origin,
    /// The token, without its secret.
    pub(super) token: Arc<AccessToken>,
}

/// Refuses a request without a good credential, of a role that may not do this, or with a cookie from another site; then runs
/// the operation within its deadline. All of that comes before the request's path and body are looked at (CONTRACT 1.2).
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let identified = identify(&app, &COOKIE_NAMES, request.headers(), request.extensions()).await?;
    let (credential, _) = &identified;
    if let Err(problem) = require_role(credential.token.role(), is_read(&request)) {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        tell_of_refused(&app, method_of(request.method(), path), &credential.origin).await;
        return Err(problem);
    }
    run(&app, identified, request, next).await
}

/// Answers a request within its deadline, once it is known who sent it.
///
/// # Errors
/// It is a write with a cookie that a page of another site may have caused; its time is over.
pub(crate) async fn run(
    app: &App,
    (credential, is_cookie): (Credential, bool),
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if is_cookie && !is_read(&request) {
        require_own_site(&request, &app.options)?;
    }
    request.extensions_mut().insert(credential);
    let deadline = deadline(request.method(), request.uri().path());
    timeout(deadline, next.run(request)).await.map_err(|_| Problem::of(StatusCode::GATEWAY_TIMEOUT))
}

fn is_read(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

fn require_role(role: Role, is_read: bool) -> Result<(), Problem> {
    match role {
        Role::Admin => Ok(()),
        Role::Viewer if is_read => Ok(()),
        _ => {
            let needed = if is_read { "viewer or admin" } else { "admin" };
            let message = format!("this needs a token with the role {needed}");
            Err(Problem::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message))
        }
    }
}

/// The methods of the service that writes become, by their own method and path.
#[rustfmt::skip]
const WRITES: [(&str, &str, &str); 9] = [
    ("POST", "/api/plugins", "/plugd.v1.PluginService/InstallPlugin"),
    ("DELETE", "/api/plugins/{plugin_instance_id}", "/plugd.v1.PluginService/DeletePlugin"),
    ("PATCH", "/api/plugins/{plugin_instance_id}/active", "/plugd.v1.PluginService/SetActiveState"),
    ("POST", "/api/plugins/{plugin_instance_id}/restart", "/plugd.v1.PluginService/RestartPlugin"),
    ("PATCH", "/api/plugins/{plugin_instance_id}/configuration", "/plugd.v1.ConfigurationService/UpdateConfiguration"),
    ("PATCH", "/api/plugins/{plugin_instance_id}/package", "/plugd.v1.PackageService/UpdatePackage"),
    ("POST", "/api/plugins/{plugin_instance_id}/rollback", "/plugd.v1.PackageService/RollbackPackage"),
    ("PATCH", "/api/plugins/{plugin_instance_id}/manifest", "/plugd.v1.PluginService/UpdateManifest"),
    ("POST", "/api/plugins/{plugin_instance_id}/token", "/plugd.v1.PluginService/RotateToken"),
];

/// What a request of this method becomes on this path, as routes are written, if it writes.
fn method_of(method: &Method, path: &str) -> Option<&'static str> {
    let found = WRITES.iter().find(|(verb, of, _)| *verb == method.as_str() && *of == path);
    found.map(|(.., method)| *method)
}

/// Tells the service, which keeps the audit trail, of a write that was refused here: it is called all the same, with nothing in the
/// call, and refuses it.
async fn tell_of_refused(app: &App, method: Option<&'static str>, origin: &Origin) {
    let Some(method) = method else { return };
    let call = app.backend.call_with_nothing(PathAndQuery::from_static(method), origin.call(()));
    if !matches!(timeout(ASKING, call).await, Ok(Err(_))) {
        tracing::warn!(method, "the service was not told of a write that was refused");
    }
}

/// Time until the response of a request of this method to this path begins.
fn deadline(method: &Method, path: &str) -> Duration {
    let is_archive = path.ends_with("/package") || path == "/api/plugins";
    match *method {
        Method::GET | Method::HEAD if !path.ends_with("/package") => QUICK,
        Method::POST | Method::PATCH if is_archive => TRANSFERRING,
        _ => SETTLING,
    }
}

/// The credential of a request, and whether it is one of these cookies. A cookie counts before a bearer token; but one that is no good,
/// or is another application's on the same host, does not stand in its way (CONTRACT 1.2).
///
/// # Errors
/// There is none that is good, or the service does not say.
pub(crate) async fn identify(
    app: &App,
    cookies: &[&str],
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(Credential, bool), Problem> {
    let cookies = cookies.iter().map(|name| (cookie(headers, name), true));
    let credentials = cookies.chain([(bearer(headers).map(str::to_owned), false)]);
    let mut refusal = Problem::of(StatusCode::UNAUTHORIZED);
    for (token, is_cookie) in credentials {
        let Some(authorization) = token.and_then(|token| format!("Bearer {token}").parse().ok()) else { continue };
        let origin = Origin::of(&authorization, headers, extensions);
        match timeout(ASKING, app.tokens.find(app, &authorization, &origin)).await {
            Ok(Ok(token)) => return Ok((Credential { origin, token }, is_cookie)),
            Ok(Err(problem)) if is_of_the_credential(&problem) => refusal = problem,
            Ok(Err(problem)) => return Err(problem),
            Err(_) => return Err(Problem::of(StatusCode::GATEWAY_TIMEOUT)),
        }
    }
    Err(refusal)
}

/// Whether it is the credential that is at fault: it is no good, or one too many from this address that is not.
fn is_of_the_credential(problem: &Problem) -> bool {
    matches!(problem.status(), StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
}

/// The tokens that were seen a moment ago, by the hash of the credential.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Seen>>);

/// A token, and when it was seen.
type Seen = (Arc<AccessToken>, Instant);

impl Tokens {
    /// The token of a credential: the service is asked, unless it said so just now.
    ///
    /// # Errors
    /// It is nobody's, plugins are disabled, or the service does not say.
    async fn find(
        &self,
        app: &App,
        authorization: &MetadataValue<Ascii>,
        origin: &Origin,
    ) -> Result<Arc<AccessToken>, Problem> {
        let hash = Sha256::digest(authorization.as_bytes()).into();
        if let Some(token) = self.recall(&hash) {
            return Ok(token);
        }
        let answer = app.backend.call(origin.call(WhoAmIRequest {})).await?;
        if !system::has_plugins(app).await {
            // Then the service refuses whatever is asked of plugins, and says why.
            app.backend.call(origin.call(ListPluginsRequest::default())).await?;
        }
        let token = Arc::new(answer.token.unwrap_or_default());
        self.remember(hash, Arc::clone(&token));
        Ok(token)
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Arc<AccessToken>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, since)| since.elapsed() < REMEMBERED).map(|(token, _)| Arc::clone(token))
    }

    fn remember(&self, hash: [u8; 32], token: Arc<AccessToken>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        }
        if known.len() < MAX_REMEMBERED {
            known.insert(hash, (token, Instant::now()));
        }
    }
}

/// The first value of the cookie that is not empty. Other cookies of the same host may hold any bytes.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let mut values = lines.filter_map(|line| line.split(';').find_map(|pair| value(pair, name)).map(str::to_owned));
    values.next()
}

/// The value in one `name=value` of a cookie header, if it has this name.
fn value<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    let (named, value) = pair.trim().split_once('=')?;
    let value = value.trim().trim_matches('"');
    (named == name && !value.is_empty()).then_some(value)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Refuses what a page of another site may have caused with its user's cookie. Browsers say it themselves: in
/// `Sec-Fetch-Site`, where only this server's own pages pass and what no page caused; those that do not send it, in
/// `Origin`, which must be this server's own or a listed one. A request with neither is no browser's (CONTRACT, "Writes with
/// the cookie").
pub(crate) fn require_own_site(request: &Request, options: &Options) -> Result<(), Problem> {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default();
    if headers.contains_key(SEC_FETCH_SITE) {
        let is_own = all(headers, &SEC_FETCH_SITE, |site| matches!(site, "same-origin" | "none"));
        return if is_own { Ok(()) } else { Err(cross_site("Sec-Fetch-Site")) };
    }
    let is_known = all(headers, &ORIGIN, |origin| options.lists(origin) || is_own_origin(origin, host));
    if is_known { Ok(()) } else { Err(cross_site("Origin")) }
}

/// Whether all values of a header pass. There may be none; one that is no text does not.
fn all(headers: &HeaderMap, name: &HeaderName, passes: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().all(|value| value.to_str().is_ok_and(&passes))
}

fn cross_site(header: &str) -> Problem {
    let message = format!("by its header {header}, a page of another site sent this with the user's cookie");
    Problem::new(StatusCode::FORBIDDEN, "CROSS_SITE", message)
        .suggesting("Send a bearer token instead of the cookie, or send it from a page of this server.")
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::PathItem;

    use super::*;
    use crate::rest::routes;

    #[test]
    fn every_operation_that_writes_is_known() {
        let (_, document) = routes(|route| route);
        let mut writes = 0;
        for (path, PathItem { get, post, patch, delete, .. }) in document.paths.paths {
            let operations = [(Method::POST, post), (Method::PATCH, patch), (Method::DELETE, delete)];
            for (method, _) in operations.iter().filter(|(_, operation)| operation.is_some()) {
                assert!(method_of(method, &path).is_some(), "{method} {path}");
                writes += 1;
            }
            assert!(get.is_none() || method_of(&Method::GET, &path).is_none(), "GET {path}");
        }
        assert_eq!(writes, WRITES.len());
    }
}
