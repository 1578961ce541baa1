//! Writes to one plugin. A task of its own: a plugin that does not read holds up nothing but this.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{SinkExt, stream::SplitSink};
use tokio::{sync::mpsc, time::timeout};

use super::{CloseReason, Options, Session, outbound::Outgoing};

/// The writing half of a connection.
pub(super) struct Writer {
    pub(super) sink: SplitSink<WebSocket, Message>,
    pub(super) queue: mpsc::Receiver<Outgoing>,
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
                why = self.session.closing() => return self.say_goodbye(why).await,
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
    async fn write(&mut self, message: Option<Outgoing>) -> Option<WriteEnd> {
        let Self { sink, queue, session, options } = self;
        let limit = options.write_timeout;
        let write = async {
            let mut next = message;
            while let Some(Outgoing { text, .. }) = next.take().or_else(|| queue.try_recv().ok()) {
                within(limit, sink.feed(Message::Text(text.into()))).await?;
            }
            within(limit, sink.flush()).await
        };
        tokio::select! {
            biased;
            why = session.closing() => Some(self.say_goodbye(why).await),
            written = write => written.err(),
        }
    }

    /// Comes after what has been written in part, before all that waits.
    async fn say_goodbye(&mut self, why: CloseReason) -> WriteEnd {
        let frame = CloseFrame { code: why.code(), reason: why.text().into() };
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
