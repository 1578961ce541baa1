//! `plugd logs`.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::json;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Context,
    client::Api,
    failure::Failure,
    follow::{Backoff, ended, is_of_transport, is_passing},
    select::One,
    signals,
    ui::{Ui, sanitize_line},
};
use crate::api::v1::{LogLine, StreamLogsRequest, StreamLogsResponse};

/// Print what a plugin printed
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd logs my-plugin --tail 20\n  plugd logs -f my-plugin")]
pub(super) struct Logs {
    #[command(flatten)]
    plugin: One,
    /// Go on with what it prints, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines; 0 for none, and with -f only what it prints from now on
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<u32>,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut request = StreamLogsRequest {
            plugin_id: self.plugin.id(&context.api).await?,
            follow: self.follow,
            tail_lines: self.tail.unwrap_or_default(),
            after: String::new(),
        };
        let stop = signals::stop_token()?;
        if self.tail == Some(0) {
            request.after = end_of(&context.api, &request.plugin_id, &stop).await?;
            if !self.follow {
                return Ok(());
            }
        }
        let ui = &context.ui;
        let is_terminal = io::stdout().is_terminal();
        let mut sink = Lines { line: &mut |line| Ok(print(ui, line, is_terminal)?), note: &|text| ui.note(text) };
        stream_logs(&context.api, request, &mut sink, &stop).await
    }
}

/// The place after the last line that there is; empty if there is none.
pub(super) async fn end_of(api: &Api, plugin_id: &str, stop: &CancellationToken) -> Result<String, Failure> {
    let request = StreamLogsRequest { plugin_id: plugin_id.to_owned(), tail_lines: 1, ..StreamLogsRequest::default() };
    let mut end = String::new();
    let mut line = |line: &LogLine| {
        end.clone_from(&line.cursor);
        Ok(())
    };
    stream_logs(api, request, &mut Lines { line: &mut line, note: &|_| {} }, stop).await?;
    Ok(end)
}

/// Prints a line: for programs and files as it is, for a terminal with nothing in it that a terminal would obey.
fn print(ui: &Ui, line: &LogLine, is_terminal: bool) -> io::Result<()> {
    match (ui.is_json(), is_terminal) {
        (true, _) => ui.json_line(&json!({"text": line.text, "cursor": line.cursor})),
        (false, true) => ui.line(&sanitize_line(&line.text)),
        (false, false) => ui.line(&line.text),
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
        let has_begun = !request.after.is_empty();
        if !request.follow || !is_passing(&broken) || (!has_begun && is_of_transport(&broken)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{options::Output, ui::tests::mk_ui};

    const HOSTILE: &str = "a\x1b]0;t\x07b\u{9b}2Jc\rd\te\u{202e}f\u{2066}g";

    fn printed(output: Output, is_terminal: bool) -> String {
        let (ui, printed) = mk_ui(output);
        let line = LogLine { text: HOSTILE.into(), ..Default::default() };
        print(&ui, &line, is_terminal).unwrap();
        printed.text()
    }

    #[test]
    fn a_terminal_gets_nothing_that_it_would_obey() {
        assert_eq!(printed(Output::Table, true), "a ]0;t b 2Jc d\tefg\n");
    }

    #[test]
    fn programs_and_files_get_the_line_as_it_is() {
        assert_eq!(printed(Output::Table, false), format!("{HOSTILE}\n"));
        for is_terminal in [false, true] {
            let line: serde_json::Value = serde_json::from_str(&printed(Output::Json, is_terminal)).unwrap();
            assert_eq!(line["text"], HOSTILE);
        }
    }
}
