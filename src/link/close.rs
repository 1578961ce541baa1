//! How a connection ends, and what each side is told of it (CONTRACT 10.4).

use std::fmt;

use axum::Error;
use tokio::task::JoinError;

use super::queue::WriteEnd;

/// Why plugd closes a connection (CONTRACT 10.4). The SDKs act on code and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000 `closed`: the plugin was deactivated, deleted or given another token.
    Closed,
    /// 1001: plugd stops.
    GoingAway,
    /// 1008 `connection rejected`: not wanted now.
    Rejected,
    /// 1009: a message of the plugin was too long.
    TooLarge,
    /// 1011 `internal error`: the connection failed.
    Failed,
    /// 1011 `internal error`: the plugin does not read what it asked for.
    Unread,
}

impl CloseReason {
    /// WebSocket's close code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.row().0
    }

    /// The text beside the code.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().1
    }

    const fn row(self) -> (u16, &'static str) {
        match self {
            Self::Closed => (1000, "closed"),
            Self::GoingAway => (1001, "going away"),
            Self::Rejected => (1008, "connection rejected"),
            Self::TooLarge => (1009, "message too big"),
            Self::Failed | Self::Unread => (1011, "internal error"),
        }
    }
}

/// Said of a plugin that sends and does not read.
const UNREAD: &str = "the plugin does not read what is sent to it";

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// We close it.
    Ours(CloseReason),
    /// The plugin closes it, with this code.
    Theirs(Option<u16>),
    /// A message was too long.
    TooLarge,
    /// The plugin broke the protocol.
    Broken(String),
    /// Nothing can be written, for this reason.
    Unwritable(&'static str),
    /// The plugin has gone.
    Lost(String),
}

impl End {
    pub(super) fn of_writer(end: Result<WriteEnd, JoinError>) -> Self {
        match end {
            Ok(WriteEnd::Stuck) => Self::Unwritable(UNREAD),
            Ok(WriteEnd::Broken | WriteEnd::Closed) => Self::Unwritable("the connection was lost: writing failed"),
            Err(_) => Self::Unwritable("internal error: the writer is gone"),
        }
    }

    /// The WebSocket library's error is told by its words: axum does not let its type through.
    pub(super) fn of_error(error: &Error) -> Self {
        let text = error.to_string();
        if text.starts_with("Space limit exceeded") {
            Self::TooLarge
        } else if text.starts_with("IO error") || text.contains("without closing handshake") {
            Self::Lost(text)
        } else {
            Self::Broken(text)
        }
    }

    /// Did plugd end it for something that the plugin did?
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Self::Ours(CloseReason::Unread) | Self::TooLarge | Self::Broken(_) | Self::Unwritable(UNREAD))
    }

    /// What the plugin is still to be told (CONTRACT 10.4).
    pub(super) fn answer(&self) -> Option<CloseReason> {
        match self {
            Self::Ours(why) => Some(*why),
            Self::TooLarge => Some(CloseReason::TooLarge),
            Self::Broken(_) => Some(CloseReason::Failed),
            Self::Theirs(_) | Self::Unwritable(_) | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(CloseReason::Unread) => f.write_str(UNREAD),
            Self::Ours(why) => write!(f, "plugd closed the connection ({} {})", why.code(), why.text()),
            Self::Theirs(Some(code)) => write!(f, "the plugin closed the connection ({code})"),
            Self::Theirs(None) => f.write_str("the plugin closed the connection"),
            Self::TooLarge => f.write_str("a message of the plugin was too long"),
            Self::Broken(how) => write!(f, "the plugin broke the protocol: {how}"),
            Self::Unwritable(why) => f.write_str(why),
            Self::Lost(how) => write!(f, "the connection was lost: {how}"),
        }
    }
}
