//! A queue that is bounded in number and in bytes, so that neither many small things nor a few large ones fill the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The sending end.
pub struct Bounded<T> {
    sender: mpsc::Sender<Queued<T>>,
    /// How many bytes may still be queued.
    bytes: Arc<Semaphore>,
}

/// Something that was queued, and its share of the bytes, which is given back when this is dropped.
#[derive(Debug)]
pub struct Queued<T> {
    pub item: T,
    _share: OwnedSemaphorePermit,
}

/// Why something was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotQueued {
    /// Too much waits already.
    Full,
    /// Nobody reads from the queue any longer.
    Closed,
}

impl<T> Bounded<T> {
    /// A queue of at most so many things, which may have at most so many bytes together.
    pub fn new(items: usize, bytes: usize) -> (Self, mpsc::Receiver<Queued<T>>) {
        let (sender, receiver) = mpsc::channel(items);
        (Self { sender, bytes: Arc::new(Semaphore::new(bytes)) }, receiver)
    }

    /// Queues something of so many bytes if there is room for it now.
    pub fn try_send(&self, item: T, bytes: usize) -> Result<(), NotQueued> {
        self.sender.try_send(self.admit(item, bytes)?).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotQueued::Full,
            mpsc::error::TrySendError::Closed(_) => NotQueued::Closed,
        })
    }

    /// Queues something of so many bytes as soon as it has a place. It is refused at once if too many bytes wait already.
    pub async fn send(&self, item: T, bytes: usize) -> Result<(), NotQueued> {
        self.sender.send(self.admit(item, bytes)?).await.map_err(|_| NotQueued::Closed)
    }

    fn admit(&self, item: T, bytes: usize) -> Result<Queued<T>, NotQueued> {
        let bytes = u32::try_from(bytes).map_err(|_| NotQueued::Full)?;
        let share = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(|_| NotQueued::Full)?;
        Ok(Queued { item, _share: share })
    }
}

impl<T> Clone for Bounded<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), bytes: Arc::clone(&self.bytes) }
    }
}

#[cfg(test)]
#[path = "tests/bounded.rs"]
mod tests;
