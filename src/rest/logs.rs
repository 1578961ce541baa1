//! What a plugin prints, as events (CONTRACT 4).

use axum::response::Response;
use futures_util::{StreamExt, future::ready, stream};
use tonic::Status;

use utoipa_axum::routes;

use super::{
    Routes,
    error::Problem,
    request::{Api, PluginId},
    schemas::LogEvents,
    sse,
};
use crate::api::v1::{LogLine, StreamLogsRequest, StreamLogsResponse};

pub(super) fn routes() -> Vec<Routes> {
    vec![routes!(follow)]
}

/// Streams what a supervised plugin printed and prints: an event a line, and "end" at the end.
#[utoipa::path(
    get,
    path = "/api/plugins/{plugin_instance_id}/logs",
    operation_id = "PluginGetLogs",
    tag = "Streams",
    responses((status = 200, body = LogEvents, content_type = "text/event-stream"), (status = 400)),
)]
async fn follow(api: Api, PluginId(plugin_id): PluginId) -> Result<Response, Problem> {
    let request = StreamLogsRequest { plugin_ids: vec![plugin_id], follow: true, ..Default::default() };
    let batches = api.app.backend.logs().stream_logs(api.request(request)).await?.into_inner();
    let batches = batches.scan((), |(), batch| ready(batch.inspect_err(log_end).ok()));
    let until_end = batches.map(Some).chain(stream::once(ready(None)));
    Ok(sse::response(until_end.scan(Events::default(), |events, batch| ready(Some(events.next(batch))))))
}

fn log_end(status: &Status) {
    tracing::debug!(code = ?status.code(), message = status.message(), "a stream of logs ended");
}

/// Lines as events. A long line comes in pieces, which are one event all the same, unless a line of the other output comes
/// between them.
#[derive(Default)]
struct Events {
    /// The event of a line that goes on has begun; what that was printed to.
    open: Option<i32>,
}

impl Events {
    /// The next lines, or the end.
    fn next(&mut self, batch: Option<StreamLogsResponse>) -> String {
        let is_cut = batch.as_ref().is_none_or(|batch| batch.lines_lost);
        let mut text = self.cut(is_cut).to_owned();
        match batch {
            Some(batch) => batch.lines.iter().for_each(|line| text.push_str(&self.line(line))),
            None => text.push_str(sse::LAST),
        }
        text
    }

    fn line(&mut self, LogLine { text, continues, stream, .. }: &LogLine) -> String {
        let cut = self.cut(self.open.is_some_and(|open| open != *stream));
        let is_first = std::mem::replace(&mut self.open, continues.then_some(*stream)).is_none();
        let event = match is_first && !continues {
            true => sse::message(text),
            false => sse::part(text, is_first, !continues),
        };
        format!("{cut}{event}")
    }

    /// What ends an event whose line does not go on after all.
    fn cut(&mut self, is_cut: bool) -> &'static str {
        if is_cut && self.open.take().is_some() { sse::END } else { "" }
    }
}
