//! `StreamLogs`.

use std::io;

use futures_util::StreamExt;
use tonic::{Request, Response, Status};

use super::{Answer, BoxStream, PluginService};
use crate::{
    api::v1::{LogLine, StreamLogsRequest, StreamLogsResponse},
    domain::{Error, Mode, PluginId, Reason, Result},
    grpc::{convert, status::status},
    logs::{From, LogBatch, Query},
};

impl PluginService {
    pub(super) fn stream(&self, request: Request<StreamLogsRequest>) -> Answer<BoxStream<StreamLogsResponse>> {
        let caller = self.admit(&request)?;
        let asked = request.into_inner();
        let (id, from) = self.place(&asked).map_err(status)?;
        let batches = self
            .0
            .logs
            .stream(id, from, Query { is_following: asked.follow, ..Query::default() })
            .map(move |batch| message(id, batch));
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
}

fn message(id: PluginId, batch: io::Result<LogBatch>) -> Result<StreamLogsResponse, Status> {
    let batch = batch.map_err(|error| {
        tracing::warn!(plugin = %id, %error, "the log can't be read");
        status(Error::new(Reason::Internal, "the plugin's log can't be read").with("plugin_id", id))
    })?;
    let line = |line: crate::logs::LogLine| LogLine {
        cursor: line.cursor.to_string(),
        text: line.text,
        continues: line.continues,
    };
    Ok(StreamLogsResponse {
        lines: batch.lines.into_iter().map(line).collect(),
        lines_lost: batch.lines_lost,
        caught_up: batch.caught_up,
    })
}
