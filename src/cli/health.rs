//! `plugd health`.

use clap::Args;
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::{
    Context,
    client::{QUICK, within},
    failure::{Exit, Failure},
};

/// Say whether a server can do its work
///
/// It needs no token. Exit code 8 says that the server can't, or does not answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd health\n  plugd health plugd.v1.PluginService")]
pub(super) struct Health {
    /// One of its services [default: the server as a whole]
    service: Option<String>,
}

impl Health {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = HealthCheckRequest { service: self.service.unwrap_or_default() };
        let answer = within(QUICK, request, async |request| context.api.health().check(request).await).await?;
        let is_serving = answer.status() == ServingStatus::Serving;
        context
            .ui
            .json_or(|| json!({"serving": is_serving}), || if is_serving { "serving" } else { "not serving" }.into())?;
        if is_serving {
            return Ok(());
        }
        Err(Failure::new("the server can't do its work now").hint("its log says why").exit(Exit::Unavailable))
    }
}
