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
    failure::Failure,
    follow::{Resumable, is_passing, resume},
    help,
    serve::stop_token,
    show,
    ui::{Style, Ui, sanitize_line},
};
use crate::api::v1::{LogLine, LogStream, StreamLogsRequest, StreamLogsResponse};

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
    #[arg(value_name = "ID", add = help::plugins())]
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
        let time = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
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
mod tests {
    use super::*;
    use crate::cli::{options::Output, ui::tests::mk_ui};

    const HOSTILE: &str = "a\x1b]0;t\x07b\u{9b}2Jc\rd\te\u{202e}f\u{2066}g";

    fn mk_printer(output: Output, is_terminal: bool) -> (Printer, crate::cli::ui::tests::Printed) {
        let (ui, printed) = mk_ui(output);
        (Printer { is_raw: !is_terminal, ..Printer::with_prefix(ui, String::new()) }, printed)
    }

    fn printed(output: Output, is_terminal: bool) -> String {
        let (mut printer, printed) = mk_printer(output, is_terminal);
        let line = LogLine { text: HOSTILE.into(), ..Default::default() };
        printer.print(&StreamLogsResponse::default(), &line).unwrap();
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

    #[test]
    fn names_have_a_column_as_wide_as_the_widest_so_far_and_times_stand_behind_it() {
        let (mut printer, printed) = mk_printer(Output::Table, false);
        (printer.has_names, printer.has_times) = (true, true);
        let time = Some(prost_types::Timestamp { seconds: 1_767_323_045, nanos: 6_000_000 });
        for name in ["long name", "näme", "x", &"w".repeat(30)] {
            let from = StreamLogsResponse { plugin_name: name.to_owned(), ..Default::default() };
            printer.print(&from, &LogLine { text: "hi".into(), time, ..Default::default() }).unwrap();
        }
        let expected = "long name | 2026-01-02T03:04:05.006Z hi\nnäme      | 2026-01-02T03:04:05.006Z hi\n\
                        x         | 2026-01-02T03:04:05.006Z hi\n";
        let last = format!("{} | 2026-01-02T03:04:05.006Z hi\n", "w".repeat(30));
        assert_eq!(printed.text(), format!("{expected}{last}"));
    }

    #[test]
    fn since_is_how_long_ago_or_a_time() {
        let at = since("2026-01-02T03:04:05Z").unwrap();
        assert_eq!(at.to_string(), "2026-01-02T03:04:05Z");
        let then = since("1h30m").unwrap();
        let ago = Timestamp::now().duration_since(then);
        assert!((90 * 60..91 * 60).contains(&ago.as_secs()), "{ago}");
        for text in ["", "x", "-10m", "yesterday"] {
            assert!(since(text).unwrap_err().contains("10m"), "{text}");
        }
    }

    #[test]
    fn a_stream_resumes_each_plugin_where_it_was() {
        let request = StreamLogsRequest { tail_lines: Some(10), follow: true, ..Default::default() };
        let mut lines = Lines::new(request, mk_printer(Output::Table, true).0);
        for (id, cursor) in [("a", Some("a1")), ("b", Some("b1")), ("a", Some("a2")), ("b", None)] {
            let (plugin_id, cursor) = (id.to_owned(), cursor.map(str::to_owned));
            lines.take(StreamLogsResponse { plugin_id, cursor, ..Default::default() }).unwrap();
        }
        assert!(lines.broken(&Status::unavailable("draining")));
        lines.request.cursors.sort();
        assert_eq!(
            (&*lines.request.cursors, lines.request.tail_lines),
            (&["a2".to_owned(), "b1".to_owned()][..], None)
        );
    }
}
