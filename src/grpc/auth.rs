//! Lets a request through to the services if its token is good for what it calls: which permission each method needs is
//! in one table here.

use std::{
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::Either;
use jiff::Timestamp;
use tonic::{
    Status,
    codegen::{Service, http},
};
use tower::Layer;

use super::{
    status::status,
    tokens::{Access, Caller},
};
use crate::domain::{
    Error, Reason, Result,
    access::{
        Permission::{self, Any, Bus, Read, Write},
        Role,
    },
};

/// Services that answer everybody.
const OPEN: [&str; 3] =
    ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// What each method needs.
const METHODS: [(&str, Permission); 25] = [
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

/// Puts [`Authenticated`] before services; one is enough for all behind one router.
#[derive(Debug, Clone)]
pub struct AuthLayer {
    access: Arc<Access>,
}

impl AuthLayer {
    /// Lets the tokens of this table through.
    pub fn new(access: Arc<Access>) -> Self {
        Self { access }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticated { inner, access: Arc::clone(&self.access) }
    }
}

/// A service that only gets requests with a token good for what they call. The [`Caller`] is in their extensions; one
/// that a client put there itself can't be, since extensions don't travel.
#[derive(Debug, Clone)]
pub struct Authenticated<S> {
    inner: S,
    access: Arc<Access>,
}

impl<S, B, R> Service<http::Request<B>> for Authenticated<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        match admit(&self.access, request.uri().path(), request.headers()) {
            Ok(caller) => {
                request.extensions_mut().extend(extensions(caller));
                Either::Left(self.inner.call(request))
            }
            Err(error) => Either::Right(ready(Ok(status(error).into_http()))),
        }
    }
}

fn extensions(caller: Option<Caller>) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    if let Some(caller) = caller {
        extensions.insert(caller);
    }
    extensions
}

/// Who sent a request.
///
/// # Errors
/// UNAUTHENTICATED if it did not come through [`Authenticated`].
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| status(unauthenticated("nobody is known to have called")))
}

/// Who calls this path with these headers; none if the path is open to everybody.
fn admit(access: &Access, path: &str, headers: &http::HeaderMap) -> Result<Option<Caller>> {
    let Some(permission) = needed(path) else { return Ok(None) };
    let secret = bearer(headers).ok_or_else(|| unauthenticated("no token was sent"))?;
    let caller = access.authenticate(secret, Timestamp::now());
    let caller = caller.ok_or_else(|| unauthenticated("the token is not valid, or not any longer"))?;
    let role = caller.token().role;
    if role.may(permission) {
        return Ok(Some(caller));
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
#[path = "auth_tests.rs"]
mod tests;
