use futures_util::FutureExt;

use super::*;

const ITEMS: usize = 4;
const BYTES: usize = 100;

#[tokio::test]
async fn bytes_are_bounded_and_come_back_with_what_is_taken_out() {
    let (queue, mut receiver) = Bounded::new(ITEMS, BYTES);
    queue.try_send("a", 60).unwrap();
    queue.try_send("b", 40).unwrap();
    assert_eq!(queue.try_send("c", 1), Err(NotQueued::Full));
    assert_eq!(queue.send("c", 1).await, Err(NotQueued::Full));
    drop(receiver.recv().await);
    assert_eq!(queue.try_send("c", 60), Ok(()));
    drop(receiver);
    assert_eq!(queue.try_send("d", 0), Err(NotQueued::Closed));
}

#[tokio::test]
async fn what_waits_for_a_place_counts_too() {
    let (queue, mut receiver) = Bounded::new(ITEMS, BYTES);
    for _ in 0..ITEMS {
        queue.try_send("", 0).unwrap();
    }
    assert_eq!(queue.try_send("", 0), Err(NotQueued::Full));
    let mut waiting = Box::pin(queue.send("large", BYTES));
    assert_eq!((&mut waiting).now_or_never(), None, "it waits for a place");
    assert_eq!(queue.send("c", 1).await, Err(NotQueued::Full));
    drop(receiver.recv().await);
    assert_eq!(waiting.await, Ok(()));
}
