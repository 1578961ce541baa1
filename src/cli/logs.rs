//! `plugd logs`.

use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    time::SystemTime,
};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tonic::{Response, Status, Streaming};
use unicode_width::UnicodeWidthStr;

use super::{
    Context,
    client::{Api, plugin_ids},
    completions,
    failure::Failure,
    follow::{Resumable, is_passing, resume},
    serve::stop_token,
    show,
    ui::{Style, Ui, sanitize_line},
};
use crate::api::{
    self,
    v1::{LogLine, LogStream, StreamLogsRequest, StreamLogsResponse},
};

/// How much of each plugin's log is printed when all plugins are meant, unless it is said.
const TAIL_OF_ALL: u32 = 10;
/// The widest that the column of names gets.
const MAX_NAME: usize = 24;
const COLORS: [Style; 4] = [Style::Cyan, Style::Green, Style::Yellow, Style::Red];

/// Print what plugins printed
///
/// Of several plugins each line begins with the plugin's name; with -f those installed later come too when none is named.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd logs my-plugin --tail 20\n  plugd logs -f\n  \
                        plugd logs my-plugin --since 10m --timestamps --stderr")]
pub(super) struct Logs {
    /// The plugins: of each its id, or its manifest id or name if no other has it [default: all, the last 10 lines of each]
    #[arg(value_name = "ID", add = completions::plugins())]
    plugins: Vec<String>,
    /// Go on with what they print, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines of each; 0 for none, and with -f only what they print from now on
    #[arg(long, short = 'n', value_name = "N")]
    tail: Option<u32>,
    /// Only lines printed since then: 10m ago, or at 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Begin each line with when it was printed
    #[arg(long, short)]
    timestamps: bool,
    /// Only what was printed to standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Only what was printed to standard error
    #[arg(long)]
    stderr: bool,
    /// Only what this run printed; `plugd get` shows the id of the current one
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut plugin_ids = plugin_ids(&context.api, &self.plugins).await?;
        plugin_ids.sort();
        plugin_ids.dedup();
        let stop = stop_token()?;
        let printer = Printer {
            ui: context.ui.clone(),
            prefix: String::new(),
            is_raw: !io::stdout().is_terminal(),
            has_names: plugin_ids.len() != 1,
            has_times: self.timestamps,
            width: 0,
        };
        resume(&context.api, &mut Lines::new(self.request(plugin_ids), printer), &stop).await
    }

    fn request(self, plugin_ids: Vec<String>) -> StreamLogsRequest {
        let is_whole = !plugin_ids.is_empty() || self.since.is_some() || self.run.is_some();
        let stream = match (self.stdout, self.stderr) {
            (true, _) => LogStream::Stdout,
            (_, true) => LogStream::Stderr,
            _ => LogStream::Unspecified,
        };
        StreamLogsRequest {
            tail_lines: self.tail.or((!is_whole).then_some(TAIL_OF_ALL)),
            plugin_ids,
            follow: self.follow,
            since_time: self.since.map(|time| SystemTime::from(time).into()),
            stream: stream.into(),
            run_id: self.run,
            cursors: Vec::new(),
        }
    }
}

fn since(text: &str) -> Result<Timestamp, String> {
    let ago = text.parse::<SignedDuration>().ok().filter(|ago| !ago.is_negative());
    let time = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok()).or_else(|| text.parse().ok());
    time.ok_or_else(|| "write how long ago, like 10m or 1h30m, or a time, like 2026-01-02T03:04:05Z".to_owned())
}

/// Prints lines: for programs and files as they are, for a terminal with nothing in them that a terminal would obey.
pub(super) struct Printer {
    ui: Ui,
    prefix: String,
    is_raw: bool,
    has_names: bool,
    has_times: bool,
    /// How wide the names were so far.
    width: usize,
}

impl Printer {
    /// A printer for a terminal, with a prefix of each line.
    pub(super) fn with_prefix(ui: Ui, prefix: String) -> Self {
        Self { ui, prefix, is_raw: false, has_names: false, has_times: false, width: 0 }
    }

    fn print(&mut self, from: &StreamLogsResponse, line: &LogLine) -> io::Result<()> {
        if self.ui.is_json() {
            return self.ui.json_line(&json(from, line));
        }
        let name = if self.has_names { self.name(from) } else { String::new() };
        let time = line.time.filter(|_| self.has_times);
        let time = time.and_then(api::time);
        let time = time.map(|time| format!("{time:.3} ")).unwrap_or_default();
        let text = if self.is_raw { &line.text } else { &sanitize_line(&line.text) };
        self.ui.line(&format!("{}{name}{time}{text}", self.prefix))
    }

    /// Prints a remark about the stream.
    fn note(&self, remark: &str) {
        self.ui.note(&format!("{}{remark}", self.prefix));
    }

    /// The plugin's name in a column of its own, in a colour of its own.
    fn name(&mut self, from: &StreamLogsResponse) -> String {
        let name = sanitize_line(if from.plugin_name.is_empty() { &from.plugin_id } else { &from.plugin_name });
        self.width = self.width.max(name.width()).min(MAX_NAME);
        let padding = " ".repeat(self.width.saturating_sub(name.width()));
        let color = from.plugin_id.bytes().fold(0, |sum, byte| sum + usize::from(byte)) % COLORS.len();
        format!("{}{padding} | ", self.ui.paint(COLORS[color], &name))
    }
}

fn json(from: &StreamLogsResponse, line: &LogLine) -> serde_json::Value {
    let is_known = line.stream() != LogStream::Unspecified;
    let stream = is_known.then(|| show::word(line.stream().as_str_name()));
    json!({
        "plugin_id": from.plugin_id, "plugin_name": from.plugin_name, "text": line.text, "continues": line.continues,
        "time": show::time(line.time.as_ref()), "stream": stream, "run_id": line.run_id, "cursor": line.cursor,
    })
}

/// The lines of logs, each plugin's from where they were when the stream broke.
pub(super) struct Lines {
    request: StreamLogsRequest,
    cursors: HashMap<String, String>,
    printer: Printer,
}

impl Lines {
    pub(super) fn new(request: StreamLogsRequest, printer: Printer) -> Self {
        Self { request, cursors: HashMap::new(), printer }
    }
}

impl Resumable for Lines {
    type Message = StreamLogsResponse;

    async fn open(&mut self, api: &Api) -> Result<Response<Streaming<StreamLogsResponse>>, Status> {
        api.logs().stream_logs(self.request.clone()).await
    }

    fn take(&mut self, batch: StreamLogsResponse) -> Result<bool, Failure> {
        if batch.lines_lost {
            self.printer.note(&format!("lines of {} are missing here: they are no longer kept", batch.plugin_name));
        }
        if let Some(why) = &batch.failure {
            self.printer.note(&format!("nothing more of {} is printed: {why}", batch.plugin_name));
        }
        batch.lines.iter().try_for_each(|line| self.printer.print(&batch, line))?;
        if let Some(cursor) = batch.cursor {
            self.cursors.insert(batch.plugin_id, cursor);
            self.request.tail_lines = None;
        }
        Ok(!batch.lines.is_empty())
    }

    fn broken(&mut self, why: &Status) -> bool {
        let is_resumed = self.request.follow && is_passing(why);
        if is_resumed {
            self.request.cursors = self.cursors.values().cloned().collect();
            self.printer.note(&format!("the log broke off ({}); resuming", why.message()));
        }
        is_resumed
    }

    fn is_finite(&self) -> bool {
        !self.request.follow
    }
}

#[cfg(test)]
mod tests;
