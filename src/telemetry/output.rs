//! Standard output and error of the commands that serve: whoever prints never waits for whoever reads.
//!
//! A reader that stops (a pipe that nobody empties, a collector of logs that hangs, a frozen terminal) makes each write
//! wait for ever, with a lock that everybody needs who prints. So a thread writes, and what it can't keep up with is dropped
//! and counted. (The crate `tracing-appender` does the same, but when it ends it prints to standard output if its queue is
//! full, and so waits for just that reader; and its queue has no limit in bytes.)

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes that wait for a reader at most; what is more is dropped.
const MAX_WAITING: usize = 1 << 20;

/// How long what was printed last may take to be read when the process ends.
const FINISH: Duration = Duration::from_secs(2);

/// A place to print to that never blocks and never fails. Each write is taken or dropped as a whole.
#[derive(Clone)]
pub struct BackgroundWriter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    /// Of all that waits.
    bytes: usize,
    is_writing: bool,
    /// Writes that were dropped, ever.
    dropped: u64,
}

impl BackgroundWriter {
    /// A thread writes to `target`. Each time that the reader is back after some was dropped, `tell` is called with how many
    /// writes that were since the start.
    pub fn start(target: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let kept = Arc::clone(&shared);
        thread::Builder::new().name("plugd-output".into()).spawn(move || kept.keep_writing(target, tell))?;
        Ok(Self(shared))
    }

    /// Waits until all is written, but not for long.
    pub fn finish(&self) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), FINISH, is_busy));
    }
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.bytes + bytes.len() > MAX_WAITING {
            state.dropped = state.dropped.saturating_add(1);
        } else {
            state.bytes += bytes.len();
            state.waiting.push_back(bytes.to_vec());
            self.0.changed.notify_all();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_writing(&self, mut target: impl Write, tell: impl Fn(u64)) {
        let mut told = 0;
        loop {
            let bytes = self.take();
            // A reader that has gone away may be back, or plugd goes on without.
            let _ = target.write_all(&bytes).and_then(|()| target.flush());
            let dropped = self.written();
            if dropped != told {
                told = dropped;
                tell(dropped);
            }
        }
    }

    /// The next piece, once there is one.
    fn take(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(bytes) = state.waiting.pop_front() {
                state.is_writing = true;
                state.bytes -= bytes.len();
                return bytes;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A piece is written; how many were dropped so far.
    fn written(&self) -> u64 {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        state.dropped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// The longest that anything here may take.
    const HANG: Duration = Duration::from_secs(60);

    /// A reader that takes nothing but when the test says so.
    struct Stalled {
        allowed: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.read.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        writer: BackgroundWriter,
        allow: Sender<()>,
        read: Receiver<Vec<u8>>,
        told: Receiver<u64>,
    }

    fn mk_rig() -> Rig {
        let ((allow, allowed), (send, read), (tell, told)) = (channel(), channel(), channel());
        let stalled = Stalled { allowed, read: send };
        let writer = BackgroundWriter::start(stalled, move |dropped| tell.send(dropped).unwrap()).unwrap();
        Rig { writer, allow, read, told }
    }

    impl Rig {
        fn read(&self) -> Vec<u8> {
            self.allow.send(()).unwrap();
            self.read.recv_timeout(HANG).unwrap()
        }
    }

    #[test]
    fn a_reader_that_stops_holds_nobody_up_and_is_told_what_it_missed() {
        let mut rig = mk_rig();
        let line = vec![b'x'; MAX_WAITING / 4];
        // One may be on its way already, four more have room.
        let written = 20;
        for _ in 0..written {
            rig.writer.write_all(&line).unwrap();
        }
        let first = rig.read();
        let dropped = rig.told.recv_timeout(HANG).unwrap();
        assert_eq!(first, line);
        assert!((written - 5..=written - 4).contains(&dropped), "{dropped}");
        for _ in 1..written - dropped {
            assert_eq!(rig.read(), line);
        }
        rig.writer.write_all(b"on").unwrap();
        assert_eq!(rig.read(), b"on");
        rig.writer.finish();
        assert!(rig.told.try_recv().is_err(), "it is told once");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_has_stopped() {
        let mut rig = mk_rig();
        rig.writer.write_all(b"nobody reads this").unwrap();
        let (end, ended) = channel();
        thread::spawn(move || {
            rig.writer.finish();
            end.send(rig.allow).unwrap();
        });
        ended.recv_timeout(HANG).unwrap();
    }

    #[test]
    fn all_is_written_in_order() {
        let mut rig = mk_rig();
        for number in 0..100_u8 {
            rig.writer.write_all(&[number]).unwrap();
        }
        for number in 0..100_u8 {
            assert_eq!(rig.read(), [number]);
        }
    }
}
