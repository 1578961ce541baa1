//! What waits to be sent to one plugin: bounded in number and in bytes, whatever it is.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::CallError;

/// Messages that may be in a plugin's queue.
pub(super) const MAX_MESSAGES: usize = 64;
/// Bytes that may wait for a plugin: what is in its queue, and answers that have no place in there yet.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The sending end of a plugin's queue.
pub(super) struct Outbound {
    queue: mpsc::Sender<Outgoing>,
    /// What is left of [`MAX_BYTES`].
    room: Arc<Semaphore>,
}

/// A message, and its share of the bytes, which is given back when it is dropped.
pub(super) struct Outgoing {
    pub(super) text: String,
    _share: OwnedSemaphorePermit,
}

impl Outbound {
    pub(super) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, receiver) = mpsc::channel(MAX_MESSAGES);
        (Self { queue, room: Arc::new(Semaphore::new(MAX_BYTES)) }, receiver)
    }

    /// Sends a message if there is room for it now.
    pub(super) fn try_send(&self, text: String) -> Result<(), CallError> {
        self.queue.try_send(self.admit(text)?).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => CallError::NotConnected,
        })
    }

    /// Sends a message as soon as it has a place in the queue. [`CallError::QueueFull`] if too many bytes wait already.
    pub(super) async fn send(&self, text: String) -> Result<(), CallError> {
        self.queue.send(self.admit(text)?).await.map_err(|_| CallError::NotConnected)
    }

    fn admit(&self, text: String) -> Result<Outgoing, CallError> {
        let share = u32::try_from(text.len()).ok();
        let share = share.and_then(|share| Arc::clone(&self.room).try_acquire_many_owned(share).ok());
        let share = share.ok_or(CallError::QueueFull)?;
        Ok(Outgoing { text, _share: share })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn bytes_are_bounded_and_come_back_with_what_is_sent() {
        let (outbound, mut queue) = Outbound::new();
        for _ in 0..MAX_BYTES / MIB {
            outbound.try_send("x".repeat(MIB)).unwrap();
        }
        assert_eq!(outbound.try_send("x".to_owned()), Err(CallError::QueueFull));
        assert_eq!(outbound.send("x".to_owned()).await, Err(CallError::QueueFull));
        drop(queue.recv().await);
        assert_eq!(outbound.try_send("x".repeat(MIB)), Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_waits_for_a_place_counts_too() {
        let (outbound, mut queue) = Outbound::new();
        for _ in 0..MAX_MESSAGES {
            outbound.try_send(String::new()).unwrap();
        }
        assert_eq!(outbound.try_send(String::new()), Err(CallError::QueueFull));
        let mut waiting = Box::pin(outbound.send("x".repeat(MAX_BYTES)));
        assert_eq!((&mut waiting).now_or_never(), None, "it waits for a place");
        assert_eq!(outbound.send("x".to_owned()).await, Err(CallError::QueueFull));
        drop(queue.recv().await);
        assert_eq!(waiting.await, Ok(()));
    }
}
