//! A stream of a plugin's log.

use std::collections::VecDeque;

use plugd::api::v1::{LogLine, StreamLogsResponse};
use tonic::{Status, Streaming};

use super::wait::within;

/// An open stream of lines.
pub(crate) struct LogStream {
    stream: Streaming<StreamLogsResponse>,
    pending: VecDeque<LogLine>,
    /// Has it said that the history is over?
    pub(crate) is_caught_up: bool,
    /// Has it said that lines are missing?
    pub(crate) has_lost_lines: bool,
}

impl LogStream {
    pub(super) fn new(stream: Streaming<StreamLogsResponse>) -> Self {
        Self { stream, pending: VecDeque::new(), is_caught_up: false, has_lost_lines: false }
    }

    /// The next line; none at the end.
    pub(crate) async fn line(&mut self) -> Result<Option<LogLine>, Status> {
        while self.pending.is_empty() {
            let Some(batch) = within("a line of a log", self.stream.message()).await? else { return Ok(None) };
            assert!(!(batch.caught_up && self.is_caught_up), "the history is over only once");
            self.is_caught_up |= batch.caught_up;
            self.has_lost_lines |= batch.lines_lost;
            self.pending.extend(batch.lines);
        }
        Ok(self.pending.pop_front())
    }

    /// The next message as it is.
    pub(crate) async fn batch(&mut self) -> StreamLogsResponse {
        within("a message of a log", self.stream.message()).await.unwrap().unwrap()
    }

    /// The lines up to the first that begins like this, and that one.
    pub(crate) async fn until(&mut self, start: &str) -> Vec<LogLine> {
        let mut lines: Vec<LogLine> = Vec::new();
        let found = async {
            while !lines.last().is_some_and(|line| line.text.starts_with(start)) {
                let line = self.line().await.unwrap();
                lines.push(line.unwrap_or_else(|| panic!("ended before {start:?}")));
            }
        };
        within(start, found).await;
        lines
    }

    /// What follows `start` in the next line that begins like this.
    pub(crate) async fn find(&mut self, start: &str) -> String {
        let line = self.until(start).await.pop().unwrap();
        line.text[start.len()..].trim().to_owned()
    }

    /// All lines to the end.
    pub(crate) async fn rest(&mut self) -> Vec<LogLine> {
        let read = async {
            let mut lines = Vec::new();
            while let Some(line) = self.line().await.unwrap() {
                lines.push(line);
            }
            lines
        };
        within("the end of a log", read).await
    }

    /// What the stream ends with.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        within("the end of a log", async {
            while self.line().await?.is_some() {}
            Ok(())
        })
        .await
    }
}
