//! How fast a package has to travel: a client that is slow keeps its place from others.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::{Error, Reason};

/// What a transfer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From one message to the next.
    pub(super) idle: Duration,
    /// Bytes a second that have to travel, on the whole.
    pub(super) min_rate: u64,
    /// How far a transfer may be behind that rate, at its beginning too.
    pub(super) grace: Duration,
    /// All of it, however fast it is.
    pub(super) total: Duration,
}

/// Of packages, in and out: the largest takes ten minutes at 86 KB/s, a small one half a minute at any rate.
pub(super) const PACKAGES: Pace = Pace {
    idle: Duration::from_secs(30),
    min_rate: 32 * 1024,
    grace: Duration::from_secs(30),
    total: Duration::from_secs(600),
};

/// A transfer under way.
#[derive(Debug)]
pub(super) struct Travel {
    pace: Pace,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    /// A transfer that begins now.
    pub(super) fn begin(self) -> Travel {
        Travel { pace: self, begun: Instant::now(), bytes: 0 }
    }
}

impl Travel {
    /// So many bytes more have travelled.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// What the step comes to that moves the next bytes.
    ///
    /// # Errors
    /// `TOO_SLOW`: it takes longer than the transfer has.
    pub(super) async fn step<T>(&self, step: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline(), step).await.map_err(|_| self.too_slow())
    }

    /// Until when the next bytes have to travel.
    fn deadline(&self) -> Instant {
        let earned = Duration::from_secs(self.bytes / self.pace.min_rate.max(1));
        let whole = self.begun + self.pace.grace.saturating_add(earned).min(self.pace.total);
        whole.min(Instant::now() + self.pace.idle)
    }

    fn too_slow(&self) -> Error {
        let (Pace { min_rate, total, .. }, seconds) = (self.pace, self.begun.elapsed().as_secs());
        let message = format!(
            "the transfer is too slow: {} bytes in {seconds} s; at least {min_rate} a second and an end within {total:?} \
             are needed",
            self.bytes
        );
        Error::new(Reason::TooSlow, message).with("bytes", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace {
        idle: Duration::from_secs(20),
        min_rate: 10,
        grace: Duration::from_secs(30),
        total: Duration::from_secs(100),
    };

    /// Seconds until a transfer is ended that moves so many bytes every so many seconds; none: it goes on.
    async fn ended_after(bytes: usize, every: u64) -> Option<u64> {
        let begun = Instant::now();
        let mut travel = PACE.begin();
        for _ in 0..1000 {
            if travel.step(sleep(Duration::from_secs(every))).await.is_err() {
                return Some(begun.elapsed().as_secs());
            }
            travel.advance(bytes);
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_ends_when_it_is_idle_behind_its_rate_or_too_long() {
        assert_eq!(ended_after(1_000_000, 25).await, Some(20), "idle");
        assert_eq!(ended_after(0, 5).await, Some(30), "messages without a byte");
        assert_eq!(ended_after(20, 5).await, Some(48), "four bytes a second: 30 s and a second for each ten");
        assert_eq!(ended_after(50, 5).await, Some(100), "as fast as it must be, but without an end");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_slow_is_told_what_is_needed() {
        let error = PACE.begin().step(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!(error.reason, Reason::TooSlow);
        assert!(error.message.contains("0 bytes in 20 s; at least 10 a second"), "{}", error.message);
    }
}
