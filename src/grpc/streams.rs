//! When streams end, beside by themselves.

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::{BoxStream, Caller, Services, pace::Transfer};
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
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};
    use tonic_types::StatusExt;

    use super::*;
    use crate::grpc::pace;

    fn reason(item: Option<Result<u32, Status>>) -> String {
        item.unwrap().unwrap_err().get_details_error_info().unwrap().reason
    }

    #[tokio::test]
    async fn a_stream_that_always_has_more_ends_with_the_reason_why() {
        let (end, ended) = oneshot::channel::<Error>();
        let mut items = until(stream::repeat(7).map(Ok), async move { ended.await.unwrap() });
        assert_eq!(items.next().await.unwrap().unwrap(), 7);
        end.send(draining()).unwrap();
        assert_eq!(reason(items.next().await), "DRAINING");
        assert!(items.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_that_is_read_is_whole() {
        let mut items = while_read(stream::iter(0..1000).map(Ok).boxed(), |_| 1);
        for expected in 0..1000 {
            assert_eq!(items.next().await.unwrap().unwrap(), expected);
        }
        assert!(items.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_read_lets_go_of_what_it_holds_and_ends_with_an_error() {
        let (holder, held) = oneshot::channel::<()>();
        let mut items = while_read(
            stream::iter(0..1000)
                .map(move |item| {
                    let _held = &holder;
                    Ok(item)
                })
                .boxed(),
            |_| 1,
        );
        assert_eq!(items.next().await.unwrap().unwrap(), 0);
        timeout(pace::IDLE + Duration::from_secs(2), held).await.expect("it is still held").unwrap_err();
        assert_eq!(items.next().await.unwrap().unwrap(), 1, "what was on its way");
        assert_eq!(reason(items.next().await), "TOO_SLOW");
        assert!(items.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_which_a_little_is_read_now_and_then_ends_too() {
        let mut items = while_read(stream::iter(0..1000).map(Ok).boxed(), |_| 1);
        let mut read = 0;
        while items.next().await.unwrap().is_ok() {
            read += 1;
            sleep(Duration::from_secs(5)).await;
        }
        assert!(read < 10, "{read} times it was waited for");
    }
}
