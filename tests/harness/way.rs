//! A way to a database that can be made to carry nothing any more, without an end that anybody would see.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

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
    carried: watch::Sender<Carried>,
    made: Arc<AtomicU64>,
    _carrying: AbortOnDropHandle<()>,
    _folder: TempDir,
}

/// What is carried.
#[derive(Clone, Copy)]
struct Carried {
    is_open: bool,
    /// The first of the connections, which are numbered, that can be carried.
    first: u64,
}

impl Carried {
    fn has(&self, connection: u64) -> bool {
        self.is_open && connection >= self.first
    }
}

impl Way {
    /// A way to this database, which is open.
    pub(crate) fn to(database: &OneDatabase) -> Self {
        let folder = tempfile::Builder::new().prefix("plugd-way-").tempdir().unwrap();
        let url = database.url();
        let (address, beyond) = url.split_once("?host=").unwrap();
        let socket = PathBuf::from(beyond).join(SOCKET);
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let carried = watch::Sender::new(Carried { is_open: true, first: 0 });
        let all = carried.clone();
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let carrying = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = UnixStream::connect(&socket).await;
                let (one, other) = (all.subscribe(), all.subscribe());
                let number = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far?.into_split());
                    let carried = |carried: &Carried| carried.has(number);
                    tokio::join!(carry(from_near, to_far, one, carried), carry(from_far, to_near, other, carried));
                    std::io::Result::Ok(())
                });
            }
        });
        let url = format!("{address}?host={}", folder.path().display());
        Self { url, carried, made, _carrying: AbortOnDropHandle::new(carrying), _folder: folder }
    }

    /// The address of the database on this way.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Whether it carries anything from now on. What it was given meanwhile comes then.
    pub(crate) fn open(&self, is_open: bool) {
        self.carried.send_modify(|carried| carried.is_open = is_open);
    }

    /// How many connections were made.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Carries nothing any more on the connections that there are; further ones can be made.
    pub(crate) fn lose(&self) {
        self.carried.send_modify(|carried| carried.first = self.made());
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut carried: watch::Receiver<Carried>,
    is_carried: impl Fn(&Carried) -> bool,
) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        // The test is over when nobody can say that it is open.
        if carried.wait_for(&is_carried).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
