//! A way to a database that can be made to carry nothing any more, without an end that anybody would see.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

use super::OneDatabase;

/// The name of PostgreSQL's socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// Sockets in front of a database's.
pub(crate) struct Way {
    url: String,
    is_open: watch::Sender<bool>,
    _carrying: AbortOnDropHandle<()>,
    _folder: TempDir,
}

impl Way {
    /// A way to this database, which is open.
    pub(crate) fn to(database: &OneDatabase) -> Self {
        let folder = tempfile::Builder::new().prefix("plugd-way-").tempdir().unwrap();
        let url = database.url();
        let (address, beyond) = url.split_once("?host=").unwrap();
        let socket = PathBuf::from(beyond).join(SOCKET);
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let is_open = watch::Sender::new(true);
        let open = is_open.clone();
        let carrying = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = UnixStream::connect(&socket).await;
                let (receiver, other) = (open.subscribe(), open.subscribe());
                tokio::spawn(async move {
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far?.into_split());
                    tokio::join!(carry(from_near, to_far, receiver), carry(from_far, to_near, other));
                    std::io::Result::Ok(())
                });
            }
        });
        let url = format!("{address}?host={}", folder.path().display());
        Self { url, is_open, _carrying: AbortOnDropHandle::new(carrying), _folder: folder }
    }

    /// The address of the database on this way.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Whether it carries anything from now on. What it was given meanwhile comes then.
    pub(crate) fn open(&self, is_open: bool) {
        self.is_open.send_replace(is_open);
    }
}

async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_open: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // The test is over when nobody can say that it is open.
        if is_open.wait_for(|is_open| *is_open).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
