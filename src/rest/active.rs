//! Starting, stopping and restarting (CONTRACT 3.5).

use axum::response::Response;

use super::{
    answer::RespondAsync,
    api::Api,
    body::{self, JSON, JsonObject},
    error::Problem,
    operation::Operation,
    path::PluginId,
};
use crate::api::v1::{ActiveState, RestartPluginRequest, SetActiveStateRequest};

/// What the property `active` should be.
const STATES: &str = "\"active\" or \"inactive\" is expected";

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::patch("/api/plugins/{plugin_instance_id}/active", "PluginSetActiveState", set)
            .summary("Starts or stops a supervised plugin and waits until that is settled.")
            .settles()
            .takes(JSON, "PluginSetActiveStateProps")
            .answers(200, "Plugin")
            .answers_asynchronously(),
        Operation::post("/api/plugins/{plugin_instance_id}/restart", "PluginRestart", restart)
            .summary("Stops an active plugin and starts it anew.")
            .settles()
            .answers(200, "Plugin")
            .answers_asynchronously(),
    ]
}

async fn set(
    api: Api,
    PluginId(plugin_id): PluginId,
    respond: RespondAsync,
    JsonObject(props): JsonObject,
) -> Result<Response, Problem> {
    let active_state = desired(body::string(&props, "active", STATES)?)?.into();
    let request = SetActiveStateRequest { plugin_id, active_state, return_immediately: respond.0, wait_timeout: None };
    let changed = api.unary().set_active_state(api.request(request)).await?;
    respond.plugin(changed.into_inner().plugin)
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

async fn restart(api: Api, PluginId(plugin_id): PluginId, respond: RespondAsync) -> Result<Response, Problem> {
    let request = RestartPluginRequest { plugin_id, return_immediately: respond.0, wait_timeout: None };
    let changed = api.unary().restart_plugin(api.request(request)).await?;
    respond.plugin(changed.into_inner().plugin)
}
