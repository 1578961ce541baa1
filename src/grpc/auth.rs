//! What every call passes before it reaches a service: is its token good for what it calls, and how long may it take? Which
//! permission each method needs is in one table here, and whether it changes something: then its calls are audited.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};
use jiff::Timestamp;
use tokio::time::timeout_at;
use tonic::{Status, codegen::http};

use Effect::{Changes, Leaves};

use super::{
    audit::{self, Refusals},
    failures::{Failures, address_of},
    status::{explained, refusal},
    tokens::{Access, Caller},
    wait::{Deadline, out_of_time},
};
use crate::domain::{
    Error, Reason, Result,
    access::{
        Permission::{self, Any, Bus, Read, SignIn, Write},
        Role,
    },
    audit::AuditEvent,
};

/// How much longer than its deadline a call may take: what its service has to say then comes first.
const MARGIN: Duration = Duration::from_millis(100);

/// Services that answer everybody.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Their methods.
const OPEN_METHODS: [&str; 4] = ["Check", "List", "Watch", "ServerReflectionInfo"];

/// What a method does to what plugd keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// All stays as it is: it reads, or carries messages, which are too many to remember each.
    Leaves,
    /// It changes something, so each call of it is told to the audit trail.
    Changes,
}

/// The path of a method, what it needs and what it does.
type Method = (&'static str, Permission, Effect);

/// A method that does not exist. Administrators are told so, nobody else.
const UNKNOWN: Method = ("", Write, Leaves);

/// What each method needs and does.
const METHODS: &[Method] = &[
    ("/plugd.v1.PluginService/InstallPlugin", Write, Changes),
    ("/plugd.v1.PluginService/RegisterExternalPlugin", Write, Changes),
    ("/plugd.v1.PluginService/ListPlugins", Read, Leaves),
    ("/plugd.v1.PluginService/GetPlugin", Read, Leaves),
    ("/plugd.v1.PluginService/DeletePlugin", Write, Changes),
    ("/plugd.v1.PluginService/SetActiveState", Write, Changes),
    ("/plugd.v1.PluginService/RestartPlugin", Write, Changes),
    ("/plugd.v1.PluginService/WatchState", Read, Leaves),
    ("/plugd.v1.PluginService/ListPluginEvents", Read, Leaves),
    ("/plugd.v1.PackageService/UpdatePackage", Write, Changes),
    ("/plugd.v1.PackageService/RollbackPackage", Write, Changes),
    ("/plugd.v1.PackageService/DownloadPackage", Read, Leaves),
    ("/plugd.v1.PluginService/UpdateManifest", Write, Changes),
    ("/plugd.v1.PluginService/RotateToken", Write, Changes),
    ("/plugd.v1.ConfigurationService/GetConfigurationSchema", Read, Leaves),
    ("/plugd.v1.ConfigurationService/GetConfiguration", Read, Leaves),
    ("/plugd.v1.ConfigurationService/UpdateConfiguration", Write, Changes),
    ("/plugd.v1.ConfigurationService/ListConfigurationRevisions", Read, Leaves),
    ("/plugd.v1.PolicyService/GetPolicy", Write, Leaves),
    ("/plugd.v1.PolicyService/UpdatePolicy", Write, Changes),
    ("/plugd.v1.LogService/StreamLogs", Read, Leaves),
    ("/plugd.v1.ServerService/GetServer", Read, Leaves),
    ("/plugd.v1.ServerService/ListNodes", Read, Leaves),
    ("/plugd.v1.ServerService/RunDoctor", Write, Changes),
    ("/plugd.v1.BusService/PublishEvent", Bus, Leaves),
    ("/plugd.v1.BusService/CallPlugin", Bus, Leaves),
    ("/plugd.v1.BusService/ServeHost", Bus, Leaves),
    ("/plugd.v1.HookService/CreateHook", Write, Changes),
    ("/plugd.v1.HookService/ListHooks", Read, Leaves),
    ("/plugd.v1.HookService/DeleteHook", Write, Changes),
    ("/plugd.v1.HookService/EnableHook", Write, Changes),
    ("/plugd.v1.HookService/TestHook", Write, Changes),
    ("/plugd.v1.HookService/RotateHookSecret", Write, Changes),
    ("/plugd.v1.AccessService/WhoAmI", Any, Leaves),
    ("/plugd.v1.AccessService/SignIn", SignIn, Changes),
    ("/plugd.v1.AccessService/CreateToken", Write, Changes),
    ("/plugd.v1.AccessService/ListTokens", Write, Leaves),
    ("/plugd.v1.AccessService/RevokeToken", Write, Changes),
    ("/plugd.v1.AccessService/ListAuditEvents", Write, Leaves),
];

/// The method that a call of this path is of; none if it is open to everybody.
fn method(path: &str) -> Option<&'static Method> {
    if let Some(method) = METHODS.iter().find(|(method, ..)| *method == path) {
        return Some(method);
    }
    let is_open = service(path).is_some_and(|service| OPEN.contains(&service));
    (!is_open).then_some(&UNKNOWN)
}

/// The method at this path as `service/method`, if there is one.
pub(super) fn known_method(path: &str) -> Option<&'static str> {
    let known = METHODS.iter().map(|(path, ..)| *path).find(|known| *known == path)?;
    Some(known.trim_start_matches('/'))
}

/// Whether there is a method at this path.
pub fn is_method(path: &str) -> bool {
    let is_open = |(service, method)| OPEN.contains(&service) && OPEN_METHODS.contains(&method);
    known_method(path).is_some() || parts(path).is_some_and(is_open)
}

/// The service that a path names: `/service/method`.
pub(super) fn service(path: &str) -> Option<&str> {
    parts(path).map(|(service, _)| service)
}

/// The service and the method that a path names.
fn parts(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// The methods that change something, as `plugd.v1.PluginService/DeletePlugin`.
fn changing() -> impl Iterator<Item = &'static str> {
    let changing = METHODS.iter().filter(|(.., effect)| *effect == Changes);
    changing.map(|(path, ..)| path.trim_start_matches('/'))
}

/// The method that changes something and is called so, with its service or without.
pub(super) fn changing_method(name: &str) -> Option<&'static str> {
    changing().find(|method| *method == name || method.split_once('/').is_some_and(|(_, short)| short == name))
}

/// What every call passes.
pub struct Guard {
    access: Arc<Access>,
    failures: Failures,
    refusals: Refusals,
    record: audit::Record,
}

impl Guard {
    /// A guard that knows these tokens. `record` takes what the audit trail is told; it must not wait.
    pub fn new(access: Arc<Access>, record: impl Fn(AuditEvent) + Send + Sync + 'static) -> Self {
        let (failures, refusals) = (Failures::default(), Refusals::default());
        Self { access, failures, refusals, record: Arc::new(record) }
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

    /// Whether the token of a request that is no call may read.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `PERMISSION_DENIED`, and as many bad tokens as there may be from one address.
    pub(super) fn may_read(&self, request: &Request) -> Result<()> {
        permit(self.authenticate(request)?.token().role, Read, request.uri().path())
    }

    /// The entry in the audit trail of a call of this method, if it belongs there.
    fn entry(
        &self,
        (path, permission, effect): &Method,
        caller: &Caller,
        request: &mut Request,
    ) -> Option<audit::Entry> {
        let method = Some(path.trim_start_matches('/')).filter(|_| *effect == Changes)?;
        let token = caller.token();
        let is_told = token.role.may(*permission) || self.refusals.is_told(token.id, method);
        is_told.then(|| audit::Entry::begin(method, caller, request, &self.record))
    }

    /// Only lets a request through with a token good for what it calls, and ends it when its time is over. The [`Caller`] and
    /// the [`Deadline`] are in its extensions; what a client put there itself can't be, since extensions don't travel.
    pub(super) async fn pass<F>(&self, mut request: Request, answer: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let Some(method) = method(request.uri().path()) else { return in_time(request, answer).await };
        let caller = match self.authenticate(&request) {
            Ok(caller) => caller,
            Err(error) => {
                // Where too many have failed, nothing is done for one more.
                let is_open = error.reason == Reason::Unauthenticated;
                let secret = bearer(request.headers()).filter(|_| is_open).map(str::to_owned);
                match self.access.authenticate_late(secret).await {
                    Some(caller) => caller,
                    None => return refusal(error),
                }
            }
        };
        let entry = self.entry(method, &caller, &mut request);
        // Both ways on would hold it; it is large.
        let answered = pin!(permitted(method.1, caller, request, answer));
        match entry {
            Some(entry) => entry.of(answered).await,
            None => answered.await,
        }
    }
}

/// What is answered to a caller who needs this permission.
async fn permitted<F>(
    permission: Permission,
    caller: Caller,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    if let Err(error) = permit(caller.token().role, permission, request.uri().path()) {
        return refusal(error);
    }
    request.extensions_mut().insert(caller);
    in_time(request, answer).await
}

/// What is answered within the time that the call may take.
pub async fn in_time<F>(mut request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let deadline = match Deadline::of(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return refusal(error),
    };
    if deadline.end().is_some() {
        request.extensions_mut().insert(deadline);
    }
    let answered = pin!(async { explained(answer(request).await) });
    match deadline.end() {
        None => answered.await,
        Some(end) => timeout_at(end + MARGIN, answered).await.unwrap_or_else(|_| refusal(out_of_time())),
    }
}

/// The caller of a request.
///
/// # Errors
/// UNAUTHENTICATED if it did not come through [`Guard::pass`].
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| unauthenticated("nobody is known to have called").into())
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
        Role::Link => "a link's",
    }
}

/// Whose token is needed, for a person.
fn who_may(permission: Permission) -> &'static str {
    match permission {
        Permission::Any => "a good one",
        Permission::Read => "an admin's or a viewer's",
        Permission::Write => "an admin's",
        Permission::Bus => "an admin's or a host's",
        Permission::SignIn => "a link's, which `plugd token link` makes",
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
