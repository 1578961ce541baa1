//! What is sent to one plugin: it waits in a bounded queue, whatever it is, and is written by a task of its own, so that a
//! plugin that does not read holds up nothing else.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, stream::SplitSink};
use tokio::{sync::mpsc, time::timeout};

use super::{CloseReason, Options, Queued, Session};

/// Messages that may be in a plugin's queue.
pub(super) const MAX_MESSAGES: usize = 64;
/// Bytes that may wait for a plugin: what is in its queue, and answers that have no place in there yet.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The writing half of a connection.
pub(super) struct Writer {
    pub(super) sink: SplitSink<WebSocket, Message>,
    pub(super) queue: mpsc::Receiver<Queued<String>>,
    pub(super) session: Session,
    pub(super) options: Options,
}

/// Why writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteEnd {
    /// The close frame is sent, or could not be.
    Closed,
    /// The plugin does not read.
    Stuck,
    /// The connection is broken.
    Broken,
}

impl WriteEnd {
    /// The WebSocket library's error is told by its words: axum does not let its type through.
    fn of_error(error: &axum::Error) -> Self {
        if error.to_string().starts_with("Write buffer is full") { Self::Stuck } else { Self::Broken }
    }
}

impl Writer {
    /// Writes until the connection is to be closed or can't be written to.
    pub(super) async fn run(mut self) -> WriteEnd {
        loop {
            tokio::select! {
                biased;
                why = self.session.closing() => return self.close(why).await,
                Some(message) = self.queue.recv() => if let Some(end) = self.write(Some(message)).await {
                    return end;
                },
                () = self.session.owes_pong() => if let Some(end) = self.write(None).await {
                    return end;
                },
            }
        }
    }

    /// Writes this message if there is one, and whatever else waits, pongs too, then flushes once.
    async fn write(&mut self, message: Option<Queued<String>>) -> Option<WriteEnd> {
        let Self { sink, queue, session, options } = self;
        let limit = options.write_timeout;
        let write = async {
            let mut next = message;
            while let Some(message) = next.take().or_else(|| queue.try_recv().ok()) {
                within(limit, sink.feed(Message::Text(message.item.into()))).await?;
            }
            within(limit, sink.flush()).await
        };
        let end = tokio::select! {
            biased;
            why = session.closing() => Some(self.close(why).await),
            written = write => written.err(),
        };
        if end.is_none() {
            // The library wakes whoever wrote last when there is something to be read, as that may have been in the way of
            // writing. Now that all is written this task would be woken for nothing, often on another thread.
            let _ = self.sink.poll_flush_unpin(&mut Context::from_waker(Waker::noop()));
        }
        end
    }

    /// Sends the close frame: after a message that was written in part, before all that waits.
    async fn close(&mut self, why: CloseReason) -> WriteEnd {
        let (code, text) = why.frame();
        let frame = CloseFrame { code, reason: text.into() };
        // Whether it arrives or not, the connection ends.
        let _ = timeout(self.options.close_timeout, self.sink.send(Message::Close(Some(frame)))).await;
        WriteEnd::Closed
    }
}

async fn within(limit: Duration, step: impl Future<Output = Result<(), axum::Error>>) -> Result<(), WriteEnd> {
    match timeout(limit, step).await {
        Ok(written) => written.map_err(|error| WriteEnd::of_error(&error)),
        Err(_) => Err(WriteEnd::Stuck),
    }
}
