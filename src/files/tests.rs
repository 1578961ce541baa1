use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::PathBuf,
};

use rustix::fs::mknodat;
use tempfile::TempDir;

use super::*;

struct Fixture(TempDir);

fn mk_fixture() -> Fixture {
    Fixture(tempfile::tempdir().unwrap())
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.path("file");
        fs::write(&path, bytes).unwrap();
        path
    }
}

#[test]
fn a_file_is_read_up_to_its_limit() {
    let fixture = mk_fixture();
    let path = fixture.write(b"four");
    assert_eq!(read(&path, 4).unwrap(), b"four");
    let error = read(&path, 3).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("more than 3 bytes")), (ErrorKind::FileTooLarge, true));
}

#[test]
fn a_huge_file_takes_no_more_memory_than_its_limit() {
    let fixture = mk_fixture();
    let path = fixture.write(b"");
    // Sparse, and more than there is memory for.
    File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    assert_eq!(read(&path, 1000).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(read_at(CWD, &path, 1000).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(head(&path, 10).unwrap().0, [0; 10]);
}

#[test]
fn what_is_no_file_is_named_at_once() {
    let fixture = mk_fixture();
    fs::create_dir(fixture.path("folder")).unwrap();
    mknodat(CWD, fixture.path("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = UnixListener::bind(fixture.path("socket")).unwrap();
    for (name, kind) in [("folder", "a folder"), ("pipe", "a named pipe"), ("socket", "a socket")] {
        let path = fixture.path(name);
        for error in [read(&path, 10).unwrap_err(), read_at(CWD, &path, 10).unwrap_err(), head(&path, 10).unwrap_err()]
        {
            assert_eq!(error.to_string(), format!("it is {kind}, not a file"));
        }
    }
    assert_eq!(read(Path::new("/dev/zero"), 10).unwrap_err().to_string(), "it is a device, not a file");
}

#[test]
fn a_link_is_followed_for_an_operator_only() {
    let fixture = mk_fixture();
    let link = fixture.path("link");
    symlink(fixture.write(b"four"), &link).unwrap();
    assert_eq!(read(&link, 4).unwrap(), b"four");
    assert_eq!(read_at(CWD, &link, 4).unwrap_err().to_string(), "it is a link, not a file");
}

#[test]
fn what_a_shell_puts_in_place_of_a_file_is_read() {
    let (reader, mut writer) = io::pipe().unwrap();
    io::Write::write_all(&mut writer, b"four").unwrap();
    drop(writer);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    assert_eq!(read(Path::new(&path), 4).unwrap(), b"four");
    assert_eq!(read(Path::new("/dev/null"), 4).unwrap(), b"");
}

#[test]
fn a_text_has_no_byte_order_mark_and_is_utf8() {
    let fixture = mk_fixture();
    assert_eq!(read_text(&fixture.write(b"\xef\xbb\xbftext"), 10).unwrap(), "text");
    let error = read_text(&fixture.write(b"\xff\xfet\0"), 10).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("UTF-16")), (ErrorKind::InvalidData, true));
}

#[test]
fn a_file_takes_the_place_of_another_and_leaves_nothing_else() {
    for is_durable in [false, true] {
        let fixture = mk_fixture();
        let path = fixture.path("note");
        for text in ["first", "second"] {
            Replace { mode: 0o640, is_durable }.file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::read_dir(fixture.0.path()).unwrap().count(), 1);
        }
    }
}
