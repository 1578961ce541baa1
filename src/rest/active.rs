//! Starting, stopping and restarting (CONTRACT 3.5).

use axum::response::Response;
use utoipa_axum::routes;

use super::{
    Routes,
    body::{self, JsonObject},
    error::Problem,
    request::{Api, PluginId, RespondAsync},
    schemas::{PluginSetActiveStateProps, Prefer, Settled},
};
use crate::api::v1::{ActiveState, RestartPluginRequest, SetActiveStateRequest};

/// What the property `active` should be.
const STATES: &str = "\"active\" or \"inactive\" is expected";

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(set), routes!(restart)]
}

/// Starts or stops a supervised plugin and waits until that is settled.
#[utoipa::path(
    patch,
    path = "/api/plugins/{plugin_instance_id}/active",
    operation_id = "PluginSetActiveState",
    tag = "Lifecycle",
    params(Prefer),
    request_body = PluginSetActiveStateProps,
    responses(Settled),
)]
async fn set(
    api: Api,
    PluginId(plugin_id): PluginId,
    respond: RespondAsync,
    JsonObject(props): JsonObject,
) -> Result<Response, Problem> {
    let active_state = desired(body::string(&props, "active", STATES)?)?.into();
    let request = SetActiveStateRequest { plugin_id, active_state, wait: respond.wait(), if_generation: None };
    respond.plugin(api.call(request).await?.plugin)
}

/// The contract's enumeration has more values than one may ask for.
fn desired(word: &str) -> Result<ActiveState, Problem> {
    match word {
        "active" => Ok(ActiveState::Active),
        "inactive" => Ok(ActiveState::Inactive),
        "starting" | "connecting" | "error" | "restarting" => {
            let message = format!("{word:?} is a state that a plugin comes into by itself; {STATES}");
            Err(Problem::invalid("active", message))
        }
        _ => Err(Problem::invalid("active", format!("is unknown: {STATES}"))),
    }
}

/// Stops an active plugin and starts it anew.
#[utoipa::path(
    post,
    path = "/api/plugins/{plugin_instance_id}/restart",
    operation_id = "PluginRestart",
    tag = "Lifecycle",
    params(Prefer),
    responses(Settled)
)]
async fn restart(api: Api, PluginId(plugin_id): PluginId, respond: RespondAsync) -> Result<Response, Problem> {
    let request = RestartPluginRequest { plugin_id, wait: respond.wait(), if_generation: None };
    respond.plugin(api.call(request).await?.plugin)
}
