//! Server-sent events by curl.

use serde_json::Value;
use tokio::process::Command;

use super::{Cursor, Running, wait::within};

/// An open stream of events.
pub(crate) struct Sse {
    curl: Running,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty when it has none.
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Event {
    /// Its data as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Revision of its id.
    #[track_caller]
    pub(crate) fn revision(&self) -> u64 {
        Cursor::parse(self.id.as_deref().unwrap()).revision
    }
}

impl Sse {
    pub(super) fn start(curl: &mut Command) -> Self {
        Self { curl: Running::start(curl) }
    }

    /// The status line and the headers, which come before any event.
    pub(crate) async fn head(&mut self) -> Vec<String> {
        let read = async {
            let mut head = Vec::new();
            while let Some(line) = self.curl.line().await.filter(|line| !line.trim_end().is_empty()) {
                head.push(line.trim_end().to_ascii_lowercase());
            }
            head
        };
        within("the headers of a stream", read).await
    }

    /// The next event; none at the end.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        // Comments come for ever.
        let read = async {
            let mut event = Event::default();
            let mut is_begun = false;
            loop {
                let line = self.curl.line().await?;
                if line.is_empty() && is_begun {
                    return Some(event);
                }
                is_begun |= event.take(&line);
            }
        };
        within("an event", read).await
    }

    /// The events up to the first that the predicate takes, and that one.
    pub(crate) async fn until(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        let found = async {
            while !seen.last().is_some_and(&is_last) {
                seen.push(self.event().await.expect("an event before the end"));
            }
        };
        within("an event", found).await;
        seen
    }
}

impl Event {
    /// Takes a line in; says whether it was a field.
    fn take(&mut self, line: &str) -> bool {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push_str(value),
            // A comment, or a blank line between events.
            _ => return false,
        }
        true
    }
}
