//! Streams lines from the files: the history first, then what comes. Holds no lines, only a position.

use std::{io, ops::Range, sync::Arc};

use futures_util::{Stream, stream};
use tokio::sync::watch;

use super::{
    LogBatch,
    cursor::{Epoch, From},
    layout::Layout,
    output::Output,
    reader::Part,
    writer::View,
};

/// The lines of an output from there on; ends after the history unless it follows.
pub(super) fn stream(
    output: Arc<Output>,
    from: From,
    is_following: bool,
) -> impl Stream<Item = io::Result<LogBatch>> + Send + 'static {
    let start = Start { view: output.watch(), output, from, is_following };
    stream::try_unfold(State::New(start), |state| async {
        let mut follower = match state {
            State::New(start) => start.open().await?,
            State::Open(follower) => follower,
        };
        let batch = follower.next().await?;
        Ok(batch.map(|batch| (batch, State::Open(follower))))
    })
}

enum State {
    New(Start),
    Open(Follower),
}

struct Start {
    output: Arc<Output>,
    view: watch::Receiver<View>,
    from: From,
    is_following: bool,
}

impl Start {
    async fn open(self) -> io::Result<Follower> {
        let Self { output, view, from, is_following } = self;
        let source = Arc::clone(&output);
        let (layout, position) = blocking(move || place(&source, from)).await?;
        Ok(Follower {
            output,
            view,
            position: position.unwrap_or_else(|| layout.oldest()),
            is_lossy: position.is_none(),
            is_told: false,
            history: Some(layout.head),
            is_following,
        })
    }
}

/// What is kept, and the position asked for; none if that is no longer kept.
fn place(output: &Output, from: From) -> io::Result<(Arc<Layout>, Option<u64>)> {
    match from {
        From::Start => output.settled().map(|layout| (Arc::clone(&layout), Some(layout.oldest()))),
        From::After(cursor) => output.settled().map(|layout| (Arc::clone(&layout), layout.after(cursor))),
        From::Tail(lines) => output.tail(lines).map(|(layout, position)| (layout, Some(position))),
    }
}

struct Follower {
    output: Arc<Output>,
    view: watch::Receiver<View>,
    position: u64,
    /// Lines before the next ones are no longer kept.
    is_lossy: bool,
    /// That lines are lost was said since the last line.
    is_told: bool,
    /// Where the history ended when the stream began; none once it has been sent.
    history: Option<u64>,
    is_following: bool,
}

impl Follower {
    async fn next(&mut self) -> io::Result<Option<LogBatch>> {
        let removed = self.output.removed.clone();
        tokio::select! {
            biased;
            () = removed.cancelled() => Ok(None),
            batch = self.next_batch() => batch,
        }
    }

    async fn next_batch(&mut self) -> io::Result<Option<LogBatch>> {
        loop {
            if let Some((part, epoch)) = self.read().await? {
                return Ok(Some(self.batch(&part, epoch)));
            }
            if self.history.take().is_some() {
                let is_lossy = std::mem::take(&mut self.is_lossy);
                return Ok(Some(LogBatch { lines: Vec::new(), lines_lost: is_lossy, caught_up: true }));
            }
            if self.is_lossy && !self.is_told {
                (self.is_lossy, self.is_told) = (false, true);
                return Ok(Some(LogBatch { lines: Vec::new(), lines_lost: true, caught_up: false }));
            }
            // It is closed only when the output is gone, and this holds the output.
            if !self.is_following || self.view.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next bytes, if there are any to read now.
    async fn read(&mut self) -> io::Result<Option<(Part, Epoch)>> {
        let until = self.until();
        let (output, position, view) = (Arc::clone(&self.output), self.position, self.view.borrow_and_update().clone());
        let Found { part, position, is_lossy } = blocking(move || find(&output, view, position..until)).await?;
        self.position = position;
        self.is_lossy |= is_lossy;
        Ok(part)
    }

    fn until(&self) -> u64 {
        self.history.filter(|_| !self.is_following).unwrap_or(u64::MAX)
    }

    fn batch(&mut self, part: &Part, epoch: Epoch) -> LogBatch {
        let lines = part.lines(epoch, self.output.max_line);
        self.is_told = false;
        self.position = lines.last().map_or(self.position, |line| line.cursor.position);
        let caught_up = self.history.take_if(|history| *history <= self.position).is_some();
        LogBatch { lines, lines_lost: std::mem::take(&mut self.is_lossy), caught_up }
    }
}

/// What there is to read.
struct Found {
    part: Option<(Part, Epoch)>,
    /// The part starts here, or reading goes on here.
    position: u64,
    is_lossy: bool,
}

/// Reads on from a position. What is not where the view says may just be renamed: then it is looked for again when
/// nobody writes, and if it is not there either, it is lost.
fn find(output: &Output, view: View, range: Range<u64>) -> io::Result<Found> {
    if let Some(found) = view.map(|layout| try_find(output, &layout, &range)).transpose()?
        && let Ok(found) = found
    {
        return Ok(found);
    }
    let mut position = range.start;
    let mut is_lossy = false;
    loop {
        let layout = output.settled()?;
        match try_find(output, &layout, &(position..range.end))? {
            Ok(found) => return Ok(Found { is_lossy: found.is_lossy || is_lossy, ..found }),
            Err(missing) if output.settled()? == layout => (position, is_lossy) = (missing, true),
            Err(_) => {}
        }
    }
}

/// Reads on from a position, or says after which position to go on when the file that has it is missing.
fn try_find(output: &Output, layout: &Layout, range: &Range<u64>) -> io::Result<Result<Found, u64>> {
    let segment = layout.at(range.start);
    // Where nothing is kept nothing comes any more: what had a position there is lost.
    let next = segment.map_or(layout.head, |segment| segment.start);
    let position = range.start.max(next.min(range.end));
    let mut found = Found { part: None, position, is_lossy: position > range.start };
    let Some(segment) = segment.filter(|_| position < range.end) else { return Ok(Ok(found)) };
    found.part = output.read(segment, position, range.end)?.map(|part| (part, layout.epoch));
    Ok(if found.part.is_some() { Ok(found) } else { Err(segment.end) })
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Options;

    fn mk_output() -> (tempfile::TempDir, Output) {
        let folder = tempfile::TempDir::new().unwrap();
        let output = Output::new(folder.path().to_owned(), Options::default());
        output.append(0, b"one\n");
        (folder, output)
    }

    fn find_text(output: &Output, view: View) -> (Vec<String>, bool) {
        let Found { part, is_lossy, .. } = find(output, view, 0..u64::MAX).unwrap();
        let lines = part.map(|(part, epoch)| part.lines(epoch, 100)).unwrap_or_default();
        (lines.into_iter().map(|line| line.text).collect(), is_lossy)
    }

    #[test]
    fn a_file_that_was_renamed_since_the_reader_looked_is_found_again() {
        let (_folder, output) = mk_output();
        let view = Some(output.settled().unwrap());
        output.finish(0, Vec::new());
        assert_eq!(find_text(&output, view), (vec!["one".to_owned()], false));
    }

    #[test]
    fn a_file_that_is_gone_is_passed_over_and_counts_as_lost() {
        let (folder, output) = mk_output();
        output.finish(0, Vec::new());
        output.append(0, b"two\n");
        let view = Some(output.settled().unwrap());
        let rotated = view.as_ref().unwrap().segments[0].name.to_string();
        std::fs::remove_file(folder.path().join("logs").join(rotated)).unwrap();
        assert_eq!(find_text(&output, view), (vec!["two".to_owned()], true));
    }
}
