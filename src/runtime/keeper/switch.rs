//! The dead-man switch: what a frozen plugd runs may not run on for ever, since another plugd may have taken its place.
//!
//! plugd says from time to time until when what it runs may go on. When such a time passes without a later one, these things
//! happen in this order, whatever plugd does meanwhile:
//!
//! 1. The keeper takes no instruction any more, so that nothing is started.
//! 2. It closes the pipe to the inits. Each kills all that it has, and ends.
//! 3. After half a second it kills the inits that have not ended, and then itself whatever they left.
//! 4. The keeper ends, and with it the lock's last holder but plugd.
//! 5. plugd, once it runs, sees the ends of the runs' sockets: they are lost runs, as when a keeper was killed. It starts another
//!    keeper when it has a later time.
//!
//! [`KILL_MARGIN`] is what steps 1 to 3 may take on a host that is busy. Only a process that the kernel itself holds (in
//! uninterruptible sleep) can outlive it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::tree::PATIENCE;

/// How long the end of everything that runs may take: for the inits, and as long again for what they leave.
pub const KILL_MARGIN: Duration = PATIENCE.saturating_mul(2);

/// The earliest time that a timer takes; zero would stop it.
const EARLIEST: Duration = Duration::from_nanos(1);

/// A timer that can only be put off. Its descriptor is readable from the time on that it is set to.
pub(super) struct Switch {
    timer: OwnedFd,
    until: Duration,
}

impl Switch {
    /// One that is not set yet.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        // This clock goes on while the host is suspended, as the clocks of other hosts do.
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer, until: Duration::ZERO })
    }

    /// Sets it to this time since the host's boot, unless it is set to a later one.
    ///
    /// # Errors
    /// The kernel does not take the time.
    pub(super) fn put_off(&mut self, until: Duration) -> io::Result<()> {
        if until < self.until {
            return Ok(());
        }
        self.until = until;
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Timespec::try_from(until.max(EARLIEST)).map_err(io::Error::other)?;
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval: never, it_value: once })?;
        Ok(())
    }
}

impl AsFd for Switch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::boot_time::since_boot;

    /// Whether it tells that the time is over.
    fn is_over(switch: &Switch) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(switch, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn it_is_put_off_only() {
        let mut switch = Switch::new().unwrap();
        assert!(!is_over(&switch), "nothing is told yet");
        switch.put_off(since_boot() + Duration::from_secs(3600)).unwrap();
        for earlier in [Duration::ZERO, since_boot()] {
            switch.put_off(earlier).unwrap();
            assert!(!is_over(&switch), "{earlier:?}");
        }
        switch.put_off(Duration::from_nanos(u64::MAX)).unwrap();
        assert!(!is_over(&switch));
    }

    #[test]
    fn a_time_before_now_is_over_at_once() {
        for before in [Duration::ZERO, since_boot()] {
            let mut switch = Switch::new().unwrap();
            switch.put_off(before).unwrap();
            assert!(is_over(&switch), "{before:?}");
        }
    }
}
