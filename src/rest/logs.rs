//! What a plugin prints, as events (CONTRACT 4).

use axum::response::Response;
use futures_util::{StreamExt, future::ready, stream};
use tonic::Status;

use super::{
    api::Api,
    error::Problem,
    operation::{Operation, Success},
    path::PluginId,
    sse,
};
use crate::api::v1::{StreamLogsRequest, StreamLogsResponse};

/// This resource's rows of the table.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/plugins/{plugin_instance_id}/logs", "PluginGetLogs", follow)
            .summary("Streams what a supervised plugin printed and prints: an event a line, and \"end\" at the end.")
            .fails(400)
            .answers_with(Success { status: 200, content: Some((sse::EVENT_STREAM, "LogEvents")), headers: &[] }),
    ]
}

async fn follow(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = StreamLogsRequest { plugin_id, follow: true, ..Default::default() };
    let batches = api.bulk().stream_logs(api.request(request)).await?.into_inner();
    let lines = batches.scan((), |(), batch| ready(batch.inspect_err(log_end).ok())).map(events);
    Ok(sse::response(lines.chain(stream::once(ready(sse::end())))))
}

fn log_end(status: &Status) {
    tracing::debug!(code = ?status.code(), message = status.message(), "a stream of logs ended");
}

fn events(batch: StreamLogsResponse) -> String {
    batch.lines.iter().map(|line| sse::message(&line.text)).collect()
}
