//! The whole log of a plugin as a file of plain text.

use axum::{
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt, future::ready};

use super::{ansi, *};
use crate::{
    api::{
        self,
        v1::{LogLine, StreamLogsResponse},
    },
    rest::streamed,
};

/// A file with `TIME stream text` a line; without the escapes of the text.
pub(in crate::console) async fn download(api: Api, query: Query) -> Result<Response, Problem> {
    let id = query.one("plugin")?.unwrap_or_default().to_owned();
    let sources = Sources::of(&api, &Wanted::of(&id, &query)).await?;
    let name = sources.all.iter().find(|(known, _)| *known == id).map(|(_, name)| name.as_str());
    let disposition = format!("attachment; filename=\"{}.log\"", file_name(name.unwrap_or_default(), &id));
    let request = StreamLogsRequest { plugin_ids: vec![id], ..StreamLogsRequest::default() };
    let batches = api.app.backend.logs().stream_logs(api.request(request)).await?.into_inner();
    let text = batches.scan(Text::default(), |text, batch| ready(Some(batch.map(|batch| text.of(&batch)))));
    let text = text.try_filter(|text| ready(!text.is_empty()));
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, streamed(text)).into_response())
}

/// A plugin's name as a file has it, and its id, because names may be the same.
fn file_name(name: &str, id: &str) -> String {
    let letters =
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let name: String = letters.take(60).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    let id = id.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
    [words.join("-"), id].into_iter().filter(|part: &String| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// Lines as text. The pieces of a long one are one line again, unless a line of the other stream comes between them.
#[derive(Default)]
struct Text {
    /// What the line was printed to that goes on.
    open: Option<i32>,
}

impl Text {
    fn of(&mut self, batch: &StreamLogsResponse) -> String {
        let mut text = String::new();
        if batch.lines_lost {
            text.push_str(self.cut());
            text.push_str("(lines are missing here)\n");
        }
        batch.lines.iter().for_each(|line| self.line(line, &mut text));
        text
    }

    fn line(&mut self, line: &LogLine, text: &mut String) {
        if self.open != Some(line.stream) {
            text.push_str(self.cut());
            let time = line.time.and_then(api::time).map_or_else(|| "-".to_owned(), |time| format!("{time:.3}"));
            let stream = if line.stream() == LogStream::Unspecified {
                "-".to_owned()
            } else {
                word(line.stream().as_str_name())
            };
            text.push_str(&format!("{time} {stream} "));
        }
        text.push_str(&ansi::plain(&line.text));
        self.open = line.continues.then_some(line.stream);
        if !line.continues {
            text.push('\n');
        }
    }

    /// What ends a line that does not go on after all.
    fn cut(&mut self) -> &'static str {
        if self.open.take().is_some() { "\n" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_harmless_name() {
        for (name, id, file) in [
            ("Link previews", "abc", "link-previews-abc"),
            ("../../etc/passwd\"\r\n", "x", "etc-passwd-x"),
            ("日本", "id\"; x", "idx"),
        ] {
            assert_eq!(file_name(name, id), file);
        }
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let line = |text: &str, stream: LogStream, continues| LogLine {
            text: text.to_owned(),
            stream: stream.into(),
            continues,
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..LogLine::default()
        };
        let (out, err) = (LogStream::Stdout, LogStream::Stderr);
        let mut text = Text::default();
        let mut of = |lines, lines_lost| text.of(&StreamLogsResponse { lines, lines_lost, ..Default::default() });
        let first = of(vec![line("\u{1b}[31ma", out, true), line("b", out, false), line("c", out, true)], false);
        assert_eq!(first, "1970-01-01T00:00:01.000Z stdout ab\n1970-01-01T00:00:01.000Z stdout c");
        assert_eq!(of(vec![line("d", err, true)], false), "\n1970-01-01T00:00:01.000Z stderr d");
        let none = LogLine { text: "e\r".to_owned(), ..LogLine::default() };
        assert_eq!(of(vec![none], true), "\n(lines are missing here)\n- - e \n");
    }
}
