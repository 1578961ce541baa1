//! Output that was kept elsewhere, by a cluster: its lines come with their times, and come again from any time that is asked for.
//! So a relay may wait for the disk, and drops nothing.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    From, LogLine, Logs, Query, Source,
    capture::{Mask, settle},
    line::{self, Printed, Stream},
    reader::Filter,
    writer::Output,
};
use crate::domain::RunId;

/// Lines of plugd's own may stand behind the last line of a run: among so many last ones it is looked for.
const TAIL: u32 = 1000;

/// A line and when it was printed. Without a line break at its end it goes on in the next one.
pub type Line = (Timestamp, Vec<u8>);

/// Takes the lines of one run. A cluster has one stream for stdout and stderr: all are as if printed to stdout.
pub struct Relay {
    output: Arc<Output>,
    logs: Logs,
    run: RunId,
    mask: Mask,
    /// The end of a line's piece that may be the beginning of a token, until the next piece comes.
    unsettled: Mutex<Vec<u8>>,
}

impl Relay {
    pub(super) fn new(output: Arc<Output>, logs: Logs, source: Source) -> Self {
        let mask = Mask(source.secret.expose().into());
        Self { output, logs, run: source.run, mask, unsettled: Mutex::default() }
    }

    /// When the last line that is kept of the run was printed, and how many that are kept were printed then; none if none is.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn last(&self) -> io::Result<Option<(Timestamp, usize)>> {
        let filter = Filter { run: Some(self.run), stream: Some(Stream::Stdout), ..Filter::default() };
        let query = Query { filter, is_following: false };
        let batches: Vec<_> = self.logs.stream(self.output.id, From::Tail(TAIL), query).try_collect().await?;
        let lines: Vec<LogLine> = batches.into_iter().flat_map(|batch| batch.lines).collect();
        let times = lines.iter().filter(|line| !line.continues).filter_map(|line| line.time);
        let last = times.clone().max();
        Ok(last.map(|last| (last, times.filter(|time| *time == last).count())))
    }

    /// Begins a file for the run, whose lines have not begun to come.
    pub async fn begin(&self) {
        self.blocking(Output::rotate).await;
    }

    /// Writes lines, and waits until the disk has them or has refused them.
    pub async fn write(&self, mut lines: Vec<Line>) {
        self.mask(&mut lines);
        let run = self.run;
        let write = move |output: &Output| {
            let mut records = Vec::new();
            for (time, bytes) in lines {
                let printed = Printed { bytes: &bytes, is_last: false, max_line: output.max_line };
                line::record(&mut records, (time, Stream::Stdout), printed);
            }
            output.append(Some(run), 0, &records);
        };
        self.blocking(write).await;
    }

    /// Masks the token, also where it is begun in one piece of a line and ends in the next.
    fn mask(&self, lines: &mut [Line]) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, bytes) in lines {
            bytes.splice(..0, unsettled.drain(..));
            let all = 0..bytes.len();
            self.mask.apply(bytes, all);
            if !bytes.ends_with(b"\n") {
                *unsettled = bytes.split_off(self.mask.settled(bytes));
            }
        }
    }

    /// Puts the file of the run away: nothing more comes.
    pub async fn finish(&self) {
        self.blocking(|output| output.finish(0)).await;
    }

    /// Does this where it may wait for the disk.
    async fn blocking(&self, write: impl FnOnce(&Output) + Send + 'static) {
        let output = Arc::clone(&self.output);
        settle(spawn_blocking(move || write(&output))).await;
    }
}
