//! `StreamLogs`.

use std::io;

use futures_util::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};

use super::{Answer, BoxStream, PluginService};
use crate::{
    api::v1::{LogLine, StreamLogsRequest, StreamLogsResponse},
    domain::{Error, Mode, PluginId, Reason, Result},
    grpc::{Caller, convert, status::status},
    logs::{From, LogBatch},
};

impl PluginService {
    pub(super) fn stream(&self, request: Request<StreamLogsRequest>) -> Answer<BoxStream<StreamLogsResponse>> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let (id, from) = self.place(&asked).map_err(status)?;
        let batches = self.0.logs.stream(id, from, asked.follow).map(move |batch| message(id, batch));
        Ok(Response::new(self.until_ended(batches, caller)))
    }

    fn place(&self, asked: &StreamLogsRequest) -> Result<(PluginId, From)> {
        let id = convert::plugin_id(&asked.plugin_id)?;
        if self.0.handle.get(id)?.desired.mode == Mode::External {
            let message = "an external plugin prints where it is run; plugd has no logs of it";
            return Err(Error::new(Reason::ExternalPlugin, message).with("plugin_id", id));
        }
        let from = match (asked.after.as_str(), asked.tail_lines) {
            ("", 0) => From::Start,
            ("", lines) => From::Tail(lines),
            (cursor, 0) => {
                let refusal = |_| Error::field("after", "must be the cursor of a line, unchanged");
                From::After(cursor.parse().map_err(refusal)?)
            }
            _ => return Err(Error::field("tail_lines", "can't be given together with after")),
        };
        Ok((id, from))
    }

    /// Ends a stream with the reason why, when the server drains or the token is no longer good.
    fn until_ended<T: Send + 'static>(
        &self,
        items: impl Stream<Item = Result<T, Status>> + Send + 'static,
        caller: Caller,
    ) -> BoxStream<T> {
        let draining = self.0.draining.clone();
        let ended = async move {
            tokio::select! {
                error = caller.ended() => error,
                () = draining.cancelled() => Error::new(Reason::Draining, "the server shuts down"),
            }
        };
        let state = (items.boxed(), Box::pin(ended), false);
        Box::pin(stream::unfold(state, async |(mut items, mut ended, is_over)| {
            if is_over {
                return None;
            }
            tokio::select! {
                item = items.next() => item.map(|item| (item, (items, ended, false))),
                error = &mut ended => Some((Err(status(error)), (items, ended, true))),
            }
        }))
    }
}

fn message(id: PluginId, batch: io::Result<LogBatch>) -> Result<StreamLogsResponse, Status> {
    let batch = batch.map_err(|error| {
        tracing::warn!(plugin = %id, %error, "the log can't be read");
        status(Error::new(Reason::Internal, "the plugin's log can't be read").with("plugin_id", id))
    })?;
    let line = |line: crate::logs::LogLine| LogLine { cursor: line.cursor.to_string(), text: line.text };
    Ok(StreamLogsResponse {
        lines: batch.lines.into_iter().map(line).collect(),
        lines_lost: batch.lines_lost,
        caught_up: batch.caught_up,
    })
}
