//! Drains the two pipes of a run: always, in bounded memory, whatever the disk does.

use std::{io, ops::Range, sync::Arc, time::Duration};

use jiff::Timestamp;
use memchr::memmem;
use tokio::{net::unix::pipe, task::JoinHandle};

use super::{
    Source,
    hints::Hints,
    line::{self, Printed, Stream},
    writer::Output,
};
use crate::domain::RunId;

/// Bytes taken from a pipe at once; a pipe holds so many.
const READ: usize = 64 * 1024;
/// Bytes of records that may wait for a write under way, before no more is read.
const MAX_READY: usize = 1024 * 1024;
/// How long a plugin that prints faster than the disk writes is held up before its lines are dropped instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// What stands in the log in place of the run's token.
const MASK: &[u8] = b"[token]";

/// Reads both pipes to their ends and has what comes written.
pub(super) async fn capture(output: Arc<Output>, source: Source, [stdout, stderr]: [pipe::Receiver; 2]) {
    let mut capture = Capture::new(output, source.run, Hints::of(source.sandbox));
    let mask = Mask(source.secret.expose().into());
    let mut stdout = Pipe::new(stdout, Stream::Stdout);
    let mut stderr = Pipe::new(stderr, Stream::Stderr);
    while stdout.pipe.is_some() || stderr.pipe.is_some() {
        capture.start_write();
        let may_read = capture.ready.len() < MAX_READY || capture.is_stalled;
        tokio::select! {
            () = stdout.readable(), if may_read => capture.take(&mut stdout, &mask),
            () = stderr.readable(), if may_read => capture.take(&mut stderr, &mask),
            () = written(&mut capture.write) => capture.is_stalled = false,
            () = tokio::time::sleep(PATIENCE), if !may_read => capture.is_stalled = true,
        }
    }
    capture.finish().await;
}

/// One of the pipes.
struct Pipe {
    /// None when it has ended.
    pipe: Option<pipe::Receiver>,
    stream: Stream,
    /// Read, and no whole line yet.
    partial: Vec<u8>,
}

impl Pipe {
    fn new(pipe: pipe::Receiver, stream: Stream) -> Self {
        Self { pipe: Some(pipe), stream, partial: Vec::new() }
    }

    /// Waits until there is something to read; for ever if it has ended.
    async fn readable(&self) {
        match &self.pipe {
            // What is wrong with it shows when it is read.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads what is there, and closes the pipe when nothing will come. Answers what is new.
    fn read(&mut self) -> Range<usize> {
        let before = self.partial.len();
        self.partial.reserve(READ);
        let read = self.pipe.as_ref().map_or(Ok(0), |pipe| pipe.try_read_buf(&mut self.partial));
        match read {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) => self.pipe = None,
            Err(error) => {
                tracing::warn!(%error, "the output of a plugin can't be read");
                self.pipe = None;
            }
        }
        before..self.partial.len()
    }
}

struct Capture {
    output: Arc<Output>,
    run: RunId,
    hints: Hints,
    /// Records that were not given to a write yet.
    ready: Vec<u8>,
    /// Bytes dropped before these.
    dropped: u64,
    /// The write under way.
    write: Option<JoinHandle<()>>,
    /// The write under way takes so long that what comes is dropped.
    is_stalled: bool,
}

impl Capture {
    fn new(output: Arc<Output>, run: RunId, hints: Hints) -> Self {
        let begin = Arc::clone(&output);
        let write = (!output.is_put_away()).then(|| tokio::task::spawn_blocking(move || begin.rotate()));
        Self { output, run, hints, ready: Vec::new(), dropped: 0, write, is_stalled: false }
    }

    /// Makes records of the whole lines that a pipe has, and of its last words when it ends.
    fn take(&mut self, from: &mut Pipe, mask: &Mask) {
        let new = from.read();
        mask.apply(&mut from.partial, new);
        let (max_line, is_last) = (self.output.max_line, from.pipe.is_none());
        let end = match is_last {
            false => line::whole(&from.partial[..mask.settled(&from.partial)], max_line),
            true => from.partial.len(),
        };
        let printed = Printed { bytes: &from.partial[..end], is_last, max_line };
        let now = Timestamp::now();
        line::record(&mut self.ready, (now, from.stream), printed);
        let hints = if from.stream == Stream::Stderr { self.hints.after(printed) } else { Vec::new() };
        for hint in hints {
            let hint = Printed { bytes: hint.as_bytes(), is_last: true, max_line };
            line::record(&mut self.ready, (now, Stream::Stderr), hint);
        }
        // A plugin that prints nothing holds no memory for it.
        from.partial = from.partial[end..].to_vec();
        self.drop_surplus();
    }

    /// Gives the records to a write, unless one is under way.
    fn start_write(&mut self) {
        if self.write.is_none() && !self.ready.is_empty() {
            let (output, run) = (Arc::clone(&self.output), self.run);
            let (dropped, records) = (std::mem::take(&mut self.dropped), std::mem::take(&mut self.ready));
            self.write = Some(tokio::task::spawn_blocking(move || output.append(Some(run), dropped, &records)));
        }
    }

    /// Drops the records when there is no room for more.
    fn drop_surplus(&mut self) {
        if self.is_stalled && self.ready.len() >= MAX_READY {
            self.output.note_dropped(&self.ready);
            self.dropped += self.ready.len() as u64;
            self.ready = Vec::new();
        }
    }

    async fn finish(mut self) {
        while self.write.is_some() || !self.ready.is_empty() {
            self.start_write();
            written(&mut self.write).await;
        }
        let Self { output, dropped, .. } = self;
        if dropped == 0 && output.is_put_away() {
            return;
        }
        settle(tokio::task::spawn_blocking(move || output.finish(dropped))).await;
    }
}

/// Waits for the end of the write under way; for ever if there is none.
async fn written(write: &mut Option<JoinHandle<()>>) {
    match write {
        Some(running) => settle(running).await,
        None => std::future::pending().await,
    }
    *write = None;
}

/// Waits for a write.
pub(super) async fn settle(write: impl Future<Output = Result<(), tokio::task::JoinError>>) {
    if let Err(error) = write.await {
        tracing::error!(%error, "writing the output of a plugin failed");
    }
}

/// The token of a run, which must not be in its log: a reader of logs could pass for the plugin with it. Empty for none.
///
/// It is found wherever it stands in what the plugin prints to one stream, in however many writes that comes and wherever a
/// long line is cut. A plugin that prints it over two lines, or in an encoding of its own, publishes it: that can't be helped.
pub(super) struct Mask(pub(super) Vec<u8>);

impl Mask {
    /// Masks the tokens that end in what is new.
    pub(super) fn apply(&self, bytes: &mut Vec<u8>, new: Range<usize>) {
        let Some(reach) = self.0.len().checked_sub(1) else { return };
        let from = new.start.saturating_sub(reach);
        let found: Vec<usize> = memmem::find_iter(&bytes[from..], &self.0).map(|at| from + at).collect();
        for at in found.into_iter().rev() {
            bytes.splice(at..at + self.0.len(), MASK.iter().copied());
        }
    }

    /// How many of these bytes can't be part of a token whose rest is still to come.
    pub(super) fn settled(&self, bytes: &[u8]) -> usize {
        let lengths = (1..self.0.len().min(bytes.len() + 1)).rev();
        let begun = lengths.into_iter().find(|length| bytes.ends_with(&self.0[..*length]));
        bytes.len() - begun.unwrap_or_default()
    }
}
