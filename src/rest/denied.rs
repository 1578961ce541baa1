//! Writes that are refused here for their caller's role, before their path and body are looked at (CONTRACT 1.2). The service
//! keeps the audit trail, and is to know of them: so it is called all the same, with nothing in the call, and refuses it.

use axum::http::{Method, uri::PathAndQuery};
use tokio::time::timeout;

use super::{App, access::ASKING, request::Origin};

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
pub(super) fn method_of(method: &Method, path: &str) -> Option<&'static str> {
    let found = WRITES.iter().find(|(verb, of, _)| *verb == method.as_str() && *of == path);
    found.map(|(.., method)| *method)
}

/// Has the service refuse a call of this method. That it does is known already.
pub(super) async fn tell(app: &App, method: Option<&'static str>, origin: &Origin) {
    let Some(method) = method else { return };
    let call = app.backend.call_with_nothing(PathAndQuery::from_static(method), origin.call(()));
    if !matches!(timeout(ASKING, call).await, Ok(Err(_))) {
        tracing::warn!(method, "the service was not told of a write that was refused");
    }
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
