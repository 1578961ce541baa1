//! What the service manager is told that started plugd, if it wants to be told: systemd does with `Type=notify`.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Where it listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// What plugd is doing.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    /// It serves.
    Ready,
    /// It ends.
    Stopping,
}

/// Tells the service manager. One that can't be told does not keep plugd from going on.
pub(super) fn tell(news: News) {
    let Some(socket) = env::var_os(SOCKET) else { return };
    let text = match news {
        News::Ready => "READY=1",
        News::Stopping => "STOPPING=1",
    };
    if let Err(error) = send(&socket, text) {
        tracing::warn!(%error, "the service manager can't be told {text}");
    }
}

/// A name that begins with `@` is in no file system.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(by: &UnixDatagram) -> String {
        let mut text = [0; 64];
        let len = by.recv(&mut text).unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_at_a_path_and_at_a_name_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        assert_eq!(received(&manager), "READY=1");

        let name = format!("plugd-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), "STOPPING=1").unwrap();
        assert_eq!(received(&manager), "STOPPING=1");
        assert!(send(OsStr::new("/nowhere"), "READY=1").is_err());
    }
}
