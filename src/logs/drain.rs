//! Drains a pipe: always, in bounded memory, whatever the disk does.

use std::{sync::Arc, time::Duration};

use tokio::{io::AsyncReadExt, net::unix::pipe, task::JoinHandle};

use super::{line, output::Output};

/// Bytes taken from the pipe at once; a pipe holds so many.
const READ: usize = 64 * 1024;
/// Bytes that may wait for a write under way.
const MAX_PENDING: usize = 1024 * 1024;
/// How long a plugin that prints faster than the disk writes is held up before its lines are dropped instead.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads a pipe to its end and has what comes written.
pub(super) async fn drain(output: Arc<Output>, mut pipe: pipe::Receiver) {
    let mut drain = Drain::new(output);
    loop {
        drain.start_write();
        let may_read = !drain.is_full() || drain.is_stalled;
        drain.pending.reserve(READ);
        tokio::select! {
            read = pipe.read_buf(&mut drain.pending), if may_read => match read {
                Ok(0) => break,
                Ok(_) => drain.shed(),
                Err(error) => {
                    tracing::warn!(%error, "the output of a plugin can't be read");
                    break;
                }
            },
            () = written(&mut drain.write) => drain.is_stalled = false,
            () = tokio::time::sleep(PATIENCE), if !may_read => drain.is_stalled = true,
        }
    }
    drop(pipe);
    drain.finish().await;
}

struct Drain {
    output: Arc<Output>,
    /// Read, and not given to a write yet.
    pending: Vec<u8>,
    /// Bytes dropped before these.
    shed: u64,
    /// The write under way.
    write: Option<JoinHandle<()>>,
    /// The write under way takes so long that what comes is dropped.
    is_stalled: bool,
}

impl Drain {
    fn new(output: Arc<Output>) -> Self {
        let begin = Arc::clone(&output);
        let write = Some(tokio::task::spawn_blocking(move || begin.begin()));
        Self { output, pending: Vec::new(), shed: 0, write, is_stalled: false }
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= MAX_PENDING
    }

    /// Gives the whole lines to a write, unless one is under way.
    fn start_write(&mut self) {
        if self.write.is_some() {
            return;
        }
        let whole = line::whole(&self.pending, self.output.max_line);
        if whole > 0 {
            let rest = self.pending.split_off(whole);
            let lines = std::mem::replace(&mut self.pending, rest);
            let (output, shed) = (Arc::clone(&self.output), std::mem::take(&mut self.shed));
            self.write = Some(tokio::task::spawn_blocking(move || output.append(shed, &lines)));
        }
    }

    /// Drops whole lines when there is no room for more.
    fn shed(&mut self) {
        if self.is_full() && self.is_stalled {
            let whole = line::whole(&self.pending, self.output.max_line);
            self.output.shed(&self.pending[..whole]);
            self.shed += whole as u64;
            self.pending.drain(..whole);
        }
    }

    async fn finish(mut self) {
        if self.write.is_some() {
            written(&mut self.write).await;
        }
        self.start_write();
        if self.write.is_some() {
            written(&mut self.write).await;
        }
        let Self { output, pending, shed, .. } = self;
        settle(tokio::task::spawn_blocking(move || output.finish(shed, pending))).await;
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

async fn settle(write: impl Future<Output = Result<(), tokio::task::JoinError>>) {
    if let Err(error) = write.await {
        tracing::error!(%error, "writing the output of a plugin failed");
    }
}
