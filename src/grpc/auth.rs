//! What every call passes before it reaches a service: is its token good for what it calls, and how long may it take? Which
//! permission each method needs is in one table here.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use jiff::Timestamp;
use tokio::time::timeout_at;
use tonic::{Status, codegen::http};

use super::{
    failures::{Failures, address_of},
    status::{explained, refusal, status},
    tokens::{Access, Caller},
    wait::{Deadline, out_of_time},
};
use crate::domain::{
    Error, Reason, Result,
    access::{
        Permission::{self, Any, Bus, Read, Write},
        Role,
    },
};

/// How much longer than its deadline a call may take: what its service has to say then comes first.
const MARGIN: Duration = Duration::from_millis(100);

/// Services that answer everybody.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What each method needs.
const METHODS: [(&str, Permission); 27] = [
    ("/plugd.v1.PluginService/InstallPlugin", Write),
    ("/plugd.v1.PluginService/RegisterExternalPlugin", Write),
    ("/plugd.v1.PluginService/ListPlugins", Read),
    ("/plugd.v1.PluginService/GetPlugin", Read),
    ("/plugd.v1.PluginService/DeletePlugin", Write),
    ("/plugd.v1.PluginService/SetActiveState", Write),
    ("/plugd.v1.PluginService/RestartPlugin", Write),
    ("/plugd.v1.PluginService/WatchState", Read),
    ("/plugd.v1.PackageService/UpdatePackage", Write),
    ("/plugd.v1.PackageService/RollbackPackage", Write),
    ("/plugd.v1.PackageService/DownloadPackage", Read),
    ("/plugd.v1.PluginService/UpdateManifest", Write),
    ("/plugd.v1.PluginService/RotateToken", Write),
    ("/plugd.v1.ConfigurationService/GetConfigurationSchema", Read),
    ("/plugd.v1.ConfigurationService/GetConfiguration", Read),
    ("/plugd.v1.ConfigurationService/UpdateConfiguration", Write),
    ("/plugd.v1.ConfigurationService/ListConfigurationRevisions", Read),
    ("/plugd.v1.PolicyService/GetPolicy", Write),
    ("/plugd.v1.PolicyService/UpdatePolicy", Write),
    ("/plugd.v1.LogService/StreamLogs", Read),
    ("/plugd.v1.BusService/PublishEvent", Bus),
    ("/plugd.v1.BusService/CallPlugin", Bus),
    ("/plugd.v1.BusService/ServeHost", Bus),
    ("/plugd.v1.AccessService/WhoAmI", Any),
    ("/plugd.v1.AccessService/CreateToken", Write),
    ("/plugd.v1.AccessService/ListTokens", Write),
    ("/plugd.v1.AccessService/RevokeToken", Write),
];

/// What a call of this path needs; none if it is open to everybody. An unknown method is for administrators.
fn needed(path: &str) -> Option<Permission> {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
    if service.is_some_and(|service| OPEN.contains(&service)) {
        return None;
    }
    Some(METHODS.iter().find(|(method, _)| *method == path).map_or(Write, |(_, permission)| *permission))
}

/// What every call passes.
pub struct Guard {
    access: Arc<Access>,
    failures: Failures,
}

impl Guard {
    /// A guard that knows these tokens.
    pub fn new(access: Arc<Access>) -> Arc<Self> {
        Arc::new(Self { access, failures: Failures::default() })
    }

    /// Whose request this is.
    fn authenticate(&self, request: &Request) -> Result<Caller> {
        let secret = bearer(request.headers()).ok_or_else(|| unauthenticated("no token was sent"))?;
        if let Some(caller) = self.access.authenticate(secret, Timestamp::now()) {
            return Ok(caller);
        }
        self.failures.count(address_of(request))?;
        Err(unauthenticated("the token is not valid, or not any longer"))
    }
}

/// A layer that only lets requests through with a token good for what they call, and ends those whose time is over. The
/// [`Caller`] and the [`Deadline`] are in their extensions; what a client put there itself can't be, since extensions don't
/// travel.
pub async fn guarded(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Some(permission) = needed(request.uri().path()) else { return in_time(request, next).await };
    let caller = match guard.authenticate(&request) {
        Ok(caller) => caller,
        Err(error) => return refusal(error),
    };
    permitted(permission, caller, request, next).await
}

/// What is answered to a caller who needs this permission.
async fn permitted(permission: Permission, caller: Caller, mut request: Request, next: Next) -> Response {
    if let Err(error) = permit(caller.token().role, permission, request.uri().path()) {
        return refusal(error);
    }
    request.extensions_mut().insert(caller);
    in_time(request, next).await
}

/// What is answered within the time that the call may take.
async fn in_time(mut request: Request, next: Next) -> Response {
    let deadline = match Deadline::of(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return refusal(error),
    };
    request.extensions_mut().insert(deadline);
    let answered = async { explained(next.run(request).await) };
    match deadline.end() {
        None => answered.await,
        Some(end) => timeout_at(end + MARGIN, answered).await.unwrap_or_else(|_| refusal(out_of_time())),
    }
}

/// The caller of a request.
///
/// # Errors
/// UNAUTHENTICATED if it did not come through [`guarded`].
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| status(unauthenticated("nobody is known to have called")))
}

/// # Errors
/// `PERMISSION_DENIED`.
fn permit(role: Role, permission: Permission, path: &str) -> Result<()> {
    if role.may(permission) {
        return Ok(());
    }
    let method = path.rsplit('/').next().unwrap_or(path);
    let message = format!("this token is {}: {method} needs {}", one_of(role), who_may(permission));
    Err(Error::new(Reason::PermissionDenied, message).with("method", path))
}

/// Whose token this is, for a person.
fn one_of(role: Role) -> &'static str {
    match role {
        Role::Admin => "an admin's",
        Role::Viewer => "a viewer's",
        Role::Host => "a host's",
    }
}

/// Whose token is needed, for a person.
fn who_may(permission: Permission) -> &'static str {
    match permission {
        Permission::Any => "a good one",
        Permission::Read => "an admin's or a viewer's",
        Permission::Write => "an admin's",
        Permission::Bus => "an admin's or a host's",
    }
}

/// The secret in `authorization: Bearer <secret>`; the scheme may have any case.
fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

fn unauthenticated(message: &str) -> Error {
    Error::new(Reason::Unauthenticated, message)
}

#[cfg(test)]
mod tests;
