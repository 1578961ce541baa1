use futures_util::FutureExt;

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn bytes_are_bounded_and_come_back_with_what_is_sent() {
    let (queue, mut outgoing) = Queue::new();
    for _ in 0..MAX_BYTES / MIB {
        queue.try_send("x".repeat(MIB)).unwrap();
    }
    assert_eq!(queue.try_send("x".to_owned()), Err(CallError::QueueFull));
    assert_eq!(queue.send("x".to_owned()).await, Err(CallError::QueueFull));
    drop(outgoing.recv().await);
    assert_eq!(queue.try_send("x".repeat(MIB)), Ok(()));
}

#[tokio::test]
async fn an_answer_that_waits_for_a_place_counts_too() {
    let (queue, mut outgoing) = Queue::new();
    for _ in 0..MAX_MESSAGES {
        queue.try_send(String::new()).unwrap();
    }
    assert_eq!(queue.try_send(String::new()), Err(CallError::QueueFull));
    let mut waiting = Box::pin(queue.send("x".repeat(MAX_BYTES)));
    assert_eq!((&mut waiting).now_or_never(), None, "it waits for a place");
    assert_eq!(queue.send("x".to_owned()).await, Err(CallError::QueueFull));
    drop(outgoing.recv().await);
    assert_eq!(waiting.await, Ok(()));
}
