//! When streams end, beside by themselves.

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{BoxStream, Caller, Services, transfers::Transfer};
use crate::{domain::Error, supervisor::draining};

impl Services {
    /// Ends a stream with the reason why, when the server drains or the token is no longer good.
    pub(super) fn until_ended<T: Send + 'static>(
        &self,
        items: impl Stream<Item = Result<T, Status>> + Send + 'static,
        caller: Caller,
    ) -> BoxStream<T> {
        let shutdown = self.parts.draining.clone();
        until(items, async move {
            tokio::select! {
                error = caller.ended() => error,
                () = shutdown.cancelled() => draining(),
            }
        })
    }
}

/// The end comes before what is ready: a stream that always has more must hear of it too.
fn until<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ended: impl Future<Output = Error> + Send + 'static,
) -> BoxStream<T> {
    let state = (items.boxed(), Box::pin(ended), false);
    Box::pin(stream::unfold(state, async |(mut items, mut ended, is_over)| {
        if is_over {
            return None;
        }
        tokio::select! {
            biased;
            error = &mut ended => Some((Err(error.into()), (items, ended, true))),
            item = items.next() => item.map(|item| (item, (items, ended, false))),
        }
    }))
}

/// Ends a stream that is read too slowly, and lets go of what it is made of; `size` is what an item has in bytes. A stream
/// does nothing unless it is asked for more, so this one has a task that asks.
pub(super) fn while_read<T: Send + 'static>(items: BoxStream<T>, size: fn(&T) -> usize) -> BoxStream<T> {
    let (sender, receiver) = mpsc::channel(1);
    let (fail, failed) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(error) = pass_on(items, &sender, size).await {
            let _ = fail.send(error.into());
        }
    });
    Box::pin(stream::unfold((receiver, failed), async |(mut receiver, mut failed)| {
        let item = match receiver.recv().await {
            Some(item) => item,
            // Without an error, what has come would look like the whole.
            None => Err(failed.try_recv().ok()?),
        };
        Some((item, (receiver, failed)))
    }))
}

/// Until there is no more, or the reader has gone.
async fn pass_on<T>(
    mut items: BoxStream<T>,
    reader: &mpsc::Sender<Result<T, Status>>,
    size: fn(&T) -> usize,
) -> Result<(), Error> {
    let mut transfer = Transfer::begin();
    while let Some(item) = items.next().await {
        let bytes = item.as_ref().map_or(0, size);
        if transfer.step(reader.send(item)).await?.is_err() {
            break;
        }
        transfer.advance(bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
