//! A stream of events byte by byte, as it is on the wire.

use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::harness::{Plugd, within};

/// An open response.
pub(super) struct Raw {
    socket: TcpStream,
    /// What has come and was not decoded yet.
    pending: Vec<u8>,
    /// Status line and headers, as they came.
    pub(super) head: String,
    /// The decoded body so far.
    pub(super) body: String,
}

impl Raw {
    /// Asks for the log of a plugin; returns when the headers are there.
    pub(super) async fn open(plugd: &Plugd, id: &str) -> Self {
        let request = format!(
            "GET /api/plugins/{id}/logs HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            plugd.address(),
            plugd.token()
        );
        let socket = plugd.dial(request.as_bytes()).await;
        let mut raw = Self { socket, pending: Vec::new(), head: String::new(), body: String::new() };
        while !raw.pending.windows(4).any(|window| window == b"\r\n\r\n") {
            raw.read().await;
        }
        let end = raw.pending.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        raw.head = String::from_utf8(raw.pending.drain(..end + 4).collect()).unwrap();
        raw
    }

    async fn read(&mut self) {
        let mut buffer = [0; 64 * 1024];
        let length = within("bytes of a stream", self.socket.read(&mut buffer)).await.unwrap();
        assert_ne!(length, 0, "the connection ended in the middle: {}", self.head);
        self.pending.extend_from_slice(&buffer[..length]);
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim())
    }

    /// Takes the next chunk of the body; false at its end.
    async fn chunk(&mut self) -> bool {
        loop {
            if let Some((length, start)) = chunk_head(&self.pending)
                && self.pending.len() >= start + length + 2
            {
                let chunk: Vec<u8> = self.pending.drain(..start + length + 2).skip(start).collect();
                self.body.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
                return length > 0;
            }
            self.read().await;
        }
    }

    /// Reads on until the body ends like this.
    pub(super) async fn until(&mut self, end: &str) -> &str {
        let reached = async {
            while !self.body.ends_with(end) {
                assert!(self.chunk().await, "ended without {end:?}: {}", self.body);
            }
        };
        within(end, reached).await;
        &self.body
    }

    /// Reads to the end of the body.
    pub(super) async fn rest(&mut self) -> &str {
        within("the end of a stream", async { while self.chunk().await {} }).await;
        &self.body
    }

    /// The same, which may be none.
    pub(super) fn lines_so_far(&self) -> Vec<&str> {
        if self.body.is_empty() { Vec::new() } else { self.lines() }
    }

    /// The lines of the events so far, each of which must be exactly `data: <line>` and an empty line.
    pub(super) fn lines(&self) -> Vec<&str> {
        let frames = self.body.strip_suffix("\n\n").unwrap_or_else(|| panic!("an open frame: {}", self.body));
        let frames = frames.split("\n\n").filter(|frame| !frame.starts_with(':'));
        frames.map(|frame| frame.strip_prefix("data: ").unwrap_or_else(|| panic!("not a line: {frame:?}"))).collect()
    }
}

/// Length of the next chunk, and where it starts.
fn chunk_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    let length = std::str::from_utf8(&bytes[..end]).unwrap();
    Some((usize::from_str_radix(length, 16).unwrap(), end + 2))
}
