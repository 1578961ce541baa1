//! An address that leads to the nodes of a cluster, as that of a Service does.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// Each connection goes to a node that listens, of several to each in turn.
pub(crate) struct Service {
    address: SocketAddr,
    nodes: watch::Sender<Vec<SocketAddr>>,
    _serving: AbortOnDropHandle<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (nodes, known) = watch::channel(Vec::new());
        let serving = async move {
            for turn in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                let mut nodes = known.borrow().clone();
                let first = turn % nodes.len().max(1);
                nodes.rotate_left(first);
                tokio::spawn(carry(near, nodes));
            }
        };
        Self { address, nodes, _serving: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads to these from now on.
    pub(crate) fn lead_to(&self, nodes: impl Iterator<Item = SocketAddr>) {
        self.nodes.send_replace(nodes.collect());
    }
}

async fn carry(mut near: TcpStream, nodes: Vec<SocketAddr>) {
    for node in nodes {
        if let Ok(mut far) = TcpStream::connect(node).await {
            // It ends when either side does.
            drop(copy_bidirectional(&mut near, &mut far).await);
            return;
        }
    }
}
