//! Streams lines from the files: the history first, then what comes. Holds no lines, only a position.

use std::{collections::HashSet, io, sync::Arc};

use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream, SelectAll},
};
use tokio::sync::{Semaphore, watch};

use super::{
    LogBatch, Logs,
    layout::{Epoch, Layout, LogCursor, NotACursor},
    reader::{self, Filter, Next, Part},
    writer::{Output, View},
};
use crate::domain::PluginId;

/// Most batches of one stream of several plugins that are read at once, and so are in memory before the client takes them.
const MAX_READS: usize = 4;

/// Most plugins of one stream.
pub const MAX_PLUGINS: usize = 2000;

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

/// What is asked of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pub filter: Filter,
    /// Go on with what comes.
    pub is_following: bool,
}

/// The lines of an output from there on; ends after the history unless it follows.
pub(super) fn stream(
    output: Arc<Output>,
    from: From,
    query: Query,
    reads: Arc<Semaphore>,
) -> impl Stream<Item = io::Result<LogBatch>> + Send + 'static {
    let view = output.watch();
    let opened = Follower::open((output, view), from, query, reads);
    stream::once(opened).map_ok(Follower::batches).try_flatten()
}

/// What is kept, and the position asked for; none if that is no longer kept.
fn place(output: &Output, from: From, filter: &Filter) -> io::Result<(Arc<Layout>, Option<u64>)> {
    let (layout, position) = match from {
        From::Start => output.read_settled(|layout| Ok(Some(layout.oldest())))?,
        From::After(cursor) => output.read_settled(|layout| match layout.after(cursor) {
            Some(position) if reader::is_within_a_line(output, layout, position)? => Err(NotACursor.into()),
            position => Ok(position),
        })?,
        From::Tail(lines) => reader::tail(output, lines, filter).map(|(layout, position)| (layout, Some(position)))?,
    };
    let since = filter.since.map_or(0, |since| layout.since(since));
    Ok((layout, position.map(|position| position.max(since))))
}

struct Follower {
    output: Arc<Output>,
    view: watch::Receiver<View>,
    query: Query,
    reads: Arc<Semaphore>,
    epoch: Epoch,
    position: u64,
    /// Lines before the next ones are no longer kept.
    is_lossy: bool,
    /// That lines are lost was said since the last line.
    is_told: bool,
    /// Where the history ended when the stream began; none once it has been sent.
    history: Option<u64>,
}

impl Follower {
    async fn open(
        (output, view): (Arc<Output>, watch::Receiver<View>),
        from: From,
        query: Query,
        reads: Arc<Semaphore>,
    ) -> io::Result<Self> {
        let (source, filter) = (Arc::clone(&output), query.filter.clone());
        let (layout, position) = blocking(&reads, move || place(&source, from, &filter)).await?;
        Ok(Self {
            output,
            view,
            query,
            reads,
            epoch: layout.epoch,
            position: position.unwrap_or_else(|| layout.oldest()),
            is_lossy: position.is_none(),
            is_told: false,
            history: Some(layout.head),
        })
    }

    fn batches(self) -> impl Stream<Item = io::Result<LogBatch>> + Send + 'static {
        stream::try_unfold(self, |mut follower| async { Ok(follower.next().await?.map(|batch| (batch, follower))) })
    }

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
            if let Some(part) = self.read().await? {
                let batch = self.batch(&part);
                if !batch.is_empty() {
                    return Ok(Some(batch));
                }
            } else if self.history.take().is_some() {
                let lines_lost = std::mem::take(&mut self.is_lossy);
                return Ok(Some(LogBatch { lines_lost, caught_up: true, ..self.no_lines() }));
            } else if self.is_lossy && !self.is_told {
                (self.is_lossy, self.is_told) = (false, true);
                return Ok(Some(LogBatch { lines_lost: true, ..self.no_lines() }));
            // It is closed only when the output is gone, and this holds the output.
            } else if !self.query.is_following || self.view.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// The next bytes, if there are any to read now.
    async fn read(&mut self) -> io::Result<Option<Part>> {
        let until = self.history.filter(|_| !self.query.is_following).unwrap_or(u64::MAX);
        let (output, position, view) = (Arc::clone(&self.output), self.position, self.view.borrow_and_update().clone());
        if view.as_ref().is_some_and(|layout| layout.head == position) {
            return Ok(None);
        }
        let read = blocking(&self.reads, move || reader::read_on(&output, view, position..until));
        let Next { part, position, is_lossy } = read.await?;
        self.position = position;
        self.is_lossy |= is_lossy;
        Ok(part)
    }

    fn batch(&mut self, part: &Part) -> LogBatch {
        let (lines, position) = part.lines(&self.query.filter);
        self.is_told = false;
        self.position = position;
        let caught_up = self.history.take_if(|history| *history <= position).is_some();
        LogBatch { lines, lines_lost: std::mem::take(&mut self.is_lossy), caught_up, ..self.no_lines() }
    }

    fn no_lines(&self) -> LogBatch {
        let cursor = LogCursor { plugin: self.output.id, epoch: self.epoch, position: self.position };
        LogBatch { cursor, lines: Vec::new(), lines_lost: false, caught_up: false }
    }
}

async fn blocking<T: Send + 'static>(
    reads: &Semaphore,
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let _turn = reads.acquire().await.map_err(io::Error::other)?;
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Says which plugins there are now.
pub(super) type Now = Box<dyn Fn() -> Vec<PluginId> + Send + Sync>;

/// The lines of several plugins, see [`Logs::stream_several`].
pub(super) fn merge(
    logs: Logs,
    starts: Vec<(PluginId, From)>,
    now: Option<Now>,
    query: Query,
) -> impl Stream<Item = (PluginId, io::Result<LogBatch>)> + Send + 'static {
    let (appeared, reads) = (logs.inner.appeared.subscribe(), Arc::new(Semaphore::new(MAX_READS)));
    let now = now.filter(|_| query.is_following);
    let (streams, known, refused) = (SelectAll::new(), HashSet::new(), Vec::new());
    let mut merged = Merged { logs, query, reads, now, appeared, streams, known, refused };
    merged.add(starts);
    stream::unfold(merged, |mut merged| async { merged.next().await.map(|item| (item, merged)) })
}

struct Merged {
    logs: Logs,
    query: Query,
    reads: Arc<Semaphore>,
    /// None if the stream has only the plugins that were there when it began.
    now: Option<Now>,
    /// Changes when a plugin prints that never did before.
    appeared: watch::Receiver<usize>,
    streams: SelectAll<BoxStream<'static, (PluginId, io::Result<LogBatch>)>>,
    known: HashSet<PluginId>,
    /// The plugins that are too many, of which that is still to be said.
    refused: Vec<PluginId>,
}

impl Merged {
    async fn next(&mut self) -> Option<(PluginId, io::Result<LogBatch>)> {
        loop {
            if let Some(id) = self.refused.pop() {
                let message = format!("this stream has {MAX_PLUGINS} plugins already, which is the most");
                return Some((id, Err(io::Error::new(io::ErrorKind::QuotaExceeded, message))));
            }
            tokio::select! {
                Some(item) = self.streams.next() => return Some(item),
                Ok(()) = self.appeared.changed(), if self.now.is_some() => self.add_new(),
                else => return None,
            }
        }
    }

    /// Adds the plugins that are new since the stream began, from their first lines on.
    fn add_new(&mut self) {
        let now = self.now.as_ref().map(|now| now()).unwrap_or_default();
        self.add(now.into_iter().map(|id| (id, From::Start)).collect());
    }

    fn add(&mut self, starts: Vec<(PluginId, From)>) {
        for (id, from) in starts {
            if !self.known.insert(id) {
                continue;
            }
            if self.streams.len() >= MAX_PLUGINS {
                self.refused.push(id);
                continue;
            }
            let output = self.logs.output(id);
            let lines = stream(output, from, self.query.clone(), Arc::clone(&self.reads));
            self.streams.push(lines.map(move |batch| (id, batch)).boxed());
        }
    }
}
