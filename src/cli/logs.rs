//! `plugd logs`.

use clap::Args;
use serde_json::json;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Context,
    client::Api,
    failure::Failure,
    resolve::plugin_id,
    retry::{Backoff, ended, is_passing},
    signals,
};
use crate::api::v1::{LogLine, StreamLogsRequest, StreamLogsResponse};

/// Print what a plugin printed
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    /// Go on with what it prints, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    tail: u32,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = StreamLogsRequest {
            plugin_id: plugin_id(&context.api, &self.plugin).await?,
            follow: self.follow,
            tail_lines: self.tail,
            after: String::new(),
        };
        let ui = &context.ui;
        let print = |line: &LogLine| match ui.is_json() {
            true => ui.json_line(&json!({"text": line.text, "cursor": line.cursor})),
            false => ui.line(&line.text),
        };
        let mut sink = Lines { line: &mut |line| Ok(print(line)?), note: &|text| ui.note(text) };
        stream_logs(&context.api, request, &mut sink, &signals::stop_token()?).await
    }
}

/// Takes the lines of a log.
pub(super) struct Lines<'a> {
    /// Takes each line, in order.
    pub(super) line: &'a mut (dyn FnMut(&LogLine) -> Result<(), Failure> + Send),
    /// Takes remarks about the stream.
    pub(super) note: &'a (dyn Fn(&str) + Send + Sync),
}

/// Streams a log until its end or `stop`; one that is followed is resumed when it breaks.
///
/// # Errors
/// The server refuses it, or a line can't be taken.
pub(super) async fn stream_logs(
    api: &Api,
    mut request: StreamLogsRequest,
    lines: &mut Lines<'_>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut backoff = Backoff::default();
    loop {
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            end = one_stream(api, &mut request, lines, &mut backoff) => end?,
        };
        let broken = match end {
            None if !request.follow => return Ok(()),
            None => ended(),
            Some(status) => status,
        };
        if !request.follow || !is_passing(&broken) {
            return Err(broken.into());
        }
        (lines.note)(&format!("the log broke off ({}); resuming", broken.message()));
        if !backoff.wait(stop).await {
            return Ok(());
        }
    }
}

/// One stream to its end: the error it ended with, if any. `request` is moved on with each line.
async fn one_stream(
    api: &Api,
    request: &mut StreamLogsRequest,
    lines: &mut Lines<'_>,
    backoff: &mut Backoff,
) -> Result<Option<Status>, Failure> {
    let opened = api.streams().stream_logs(request.clone()).await;
    let mut stream: Streaming<StreamLogsResponse> = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    while let Some(batch) = stream.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(status) => return Ok(Some(status)),
        };
        if batch.lines_lost {
            (lines.note)("lines are missing here: the log was rotated away");
        }
        for line in &batch.lines {
            backoff.reset();
            (lines.line)(line)?;
            request.after.clone_from(&line.cursor);
            request.tail_lines = 0;
        }
    }
    Ok(None)
}
