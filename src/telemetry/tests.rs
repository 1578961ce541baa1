use std::sync::{
    Mutex,
    mpsc::{Receiver, Sender, channel},
};

use super::*;

#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_of_the_log_stays_one_that_no_terminal_obeys() {
    let printed = Printed::default();
    let writer = printed.clone();
    let layer = fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
    let log = tracing_subscriber::registry().with(layer.fmt_fields(debug_fn(field).delimited(" ")));
    tracing::subscriber::with_default(log, || {
        tracing::warn!(name = %"a\u{202e}b\nINFO c\x1b[2J", count = 1, "it \u{9b}2J broke");
    });
    let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    assert!(text.ends_with("it  2J broke name=ab INFO c [2J count=1\n"), "{text:?}");
    assert_eq!(text.lines().count(), 1);
}

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
