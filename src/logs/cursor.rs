//! Places in what a plugin printed.

use std::{fmt, str::FromStr};

/// Names one history of a plugin's output, in which positions only grow.
pub(super) type Epoch = xid::Id;

/// A place in what a plugin printed: opaque to clients, good across rotations and restarts of plugd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCursor {
    /// The history that the position is of.
    pub(super) epoch: Epoch,
    /// Bytes printed before this place since the history began.
    pub(super) position: u64,
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
    }
}

/// The text is not a cursor that plugd gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a log stream")]
pub struct NotACursor;

impl FromStr for LogCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (epoch, position) = text.split_once('-').ok_or(NotACursor)?;
        let epoch = Epoch::from_str(epoch).map_err(|_| NotACursor)?;
        let position = position.parse().map_err(|_| NotACursor)?;
        Ok(Self { epoch, position })
    }
}

/// Where a log stream starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the oldest line that is kept.
    Start,
    /// After this cursor.
    After(LogCursor),
    /// At the last so many lines printed until now. A line that comes in pieces counts once.
    Tail(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_form() {
        let cursor = LogCursor { epoch: xid::new(), position: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn other_text_is_not_a_cursor() {
        for text in ["", "-", "1", "9m4e2mr0ui3e8a215n4g", "9m4e2mr0ui3e8a215n4g-", "9m4e2mr0ui3e8a215n4g-x", "é-1"] {
            assert_eq!(text.parse::<LogCursor>(), Err(NotACursor), "{text}");
        }
    }
}
