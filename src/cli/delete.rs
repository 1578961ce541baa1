//! `plugd delete`.

use clap::Args;

use super::{
    Context,
    client::{MARGIN, SETTLE, present, within},
    failure::Failure,
    resolve::plugin_id,
    shape,
    ui::tame,
};
use crate::api::v1::DeletePluginRequest;

/// Stop a plugin and remove it with its files
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd delete my-plugin")]
pub(super) struct Delete {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
}

impl Delete {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = DeletePluginRequest { plugin_id: plugin_id(&context.api, &self.plugin).await? };
        let send = async |request| context.api.plugins().delete_plugin(request).await;
        let plugin = present(within(SETTLE + MARGIN, request, send).await?.plugin)?;
        if context.ui.is_json() {
            return Ok(context.ui.json(&shape::plugin(&plugin))?);
        }
        Ok(context.ui.line(&format!("{} {} is deleted", plugin.id, tame(&plugin.name)))?)
    }
}
