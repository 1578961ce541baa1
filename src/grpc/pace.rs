//! How fast a package has to travel: a client that is slow keeps its place from others. The largest package takes ten minutes
//! at 86 KB/s, a small one half a minute at any rate.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Error, Reason};

/// From one message to the next.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// Bytes a second that have to travel, on the whole.
const MIN_RATE: u64 = 32 * 1024;
/// How far a transfer may be behind that rate, at its beginning too.
const GRACE: Duration = Duration::from_secs(30);
/// All of it, however fast it is.
const TOTAL: Duration = Duration::from_secs(600);

/// A package on its way, in or out.
#[derive(Debug)]
pub(super) struct Transfer {
    begun: Instant,
    bytes: u64,
}

impl Transfer {
    /// A transfer that begins now.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), bytes: 0 }
    }

    /// So many bytes more have travelled.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// What the step comes to that moves the next bytes.
    ///
    /// # Errors
    /// `TOO_SLOW`: it takes longer than the transfer has.
    pub(super) async fn step<T>(&self, step: impl Future<Output = T>) -> Result<T, Error> {
        let earned = Duration::from_secs(self.bytes / MIN_RATE);
        let whole = self.begun + GRACE.saturating_add(earned).min(TOTAL);
        let deadline = whole.min(Instant::now() + IDLE);
        tokio::time::timeout_at(deadline, step).await.map_err(|_| self.too_slow())
    }

    fn too_slow(&self) -> Error {
        let (bytes, seconds) = (self.bytes, self.begun.elapsed().as_secs());
        let message = format!(
            "the transfer is too slow: {bytes} bytes in {seconds} s; at least {MIN_RATE} a second and an end within \
             {TOTAL:?} are needed"
        );
        Error::new(Reason::TooSlow, message).with("bytes", bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Seconds until a transfer is ended that moves so many KiB every so many seconds; none: it goes on.
    async fn ended_after(kibibytes: usize, every: u64) -> Option<u64> {
        let begun = Instant::now();
        let mut transfer = Transfer::begin();
        for _ in 0..1000 {
            if transfer.step(sleep(Duration::from_secs(every))).await.is_err() {
                return Some(begun.elapsed().as_secs());
            }
            transfer.advance(kibibytes * 1024);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_ends_when_it_is_idle_behind_its_rate_or_too_long() {
        assert_eq!(ended_after(100_000, 35).await, Some(30), "idle");
        assert_eq!(ended_after(0, 5).await, Some(30), "messages without a byte");
        assert_eq!(ended_after(80, 5).await, Some(57), "16 KiB a second: 30 s and a second for each 32 KiB");
        assert_eq!(ended_after(200, 5).await, Some(600), "as fast as it must be, but without an end");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_slow_is_told_what_is_needed() {
        let error = Transfer::begin().step(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.reason, Reason::TooSlow);
        assert!(error.message.contains("0 bytes in 30 s; at least 32768 a second"), "{}", error.message);
    }
}
