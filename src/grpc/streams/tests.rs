use std::time::Duration;

use tokio::time::{sleep, timeout};
use tonic_types::StatusExt;

use super::*;
use crate::grpc::transfers;

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
    timeout(transfers::IDLE + Duration::from_secs(2), held).await.expect("it is still held").unwrap_err();
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
