//! The plugin's id in a path.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};

use super::error::Problem;

/// Name of the path parameter.
pub(super) const PARAMETER: &str = "plugin_instance_id";

/// The id in the path. Any text is taken; the service looks at its first 20 characters (CONTRACT 1.5).
pub(super) struct PluginId(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PluginId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::no_plugin())?;
        find(&params).map(Self).ok_or_else(Problem::no_plugin)
    }
}

/// The plugin's id among the parameters of a path.
pub(super) fn find(params: &RawPathParams) -> Option<String> {
    params.iter().find(|(name, _)| *name == PARAMETER).map(|(_, value)| value.to_owned())
}
