//! A node tells the others of itself, once a second and until it ends, whatever it is.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{about, role::Role};
use crate::store::{Address, Node, Presence, Reach, StoreError};

/// How often it tells of itself. One of which nothing was heard for five times as long is taken to be gone.
const OFTEN: Duration = Duration::from_secs(1);

/// How long a node that ends waits until it is forgotten.
const FAREWELL: Duration = Duration::from_secs(1);

/// The node that is reached at this address and was started then.
pub(super) fn this_node(address: String, started: Timestamp) -> Node {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Node { address, started, host_name: about::host_name(), version, reach: None, term: None }
}

/// Tells the database at this address of the node with this role, from its first part on and until it has `ended`.
pub(super) async fn tell(node: Node, address: &Address, mut role: watch::Receiver<Role>, ended: CancellationToken) {
    // Before that there may be no tables.
    let begun = async { role.wait_for(|role| role.revision().is_some()).await.is_ok() };
    if ended.run_until_cancelled(begun).await != Some(true) {
        return;
    }
    let (mut presence, mut ticks, mut is_hidden) = (None, interval(OFTEN), false);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = async {
        loop {
            ticks.tick().await;
            let node = now(&node, &role.borrow());
            match tell_once(&node, address, &mut presence).await {
                Ok(is_told) => {
                    if !is_told && !is_hidden {
                        let address = &node.address;
                        tracing::warn!(%address, "another node has the same --advertise: each needs an address of its own");
                    }
                    is_hidden = !is_told;
                }
                Err(error) => tracing::debug!(%error, "the other nodes can't be told of this one"),
            }
        }
    };
    ended.run_until_cancelled(telling).await;
    if let Some(presence) = presence {
        let _ = timeout(FAREWELL, presence.withdraw(&node)).await;
    }
}

async fn tell_once(node: &Node, address: &Address, presence: &mut Option<Presence>) -> Result<bool, StoreError> {
    let presence = match presence {
        Some(presence) => presence,
        none => none.insert(Presence::of(address).await?),
    };
    presence.tell(node).await
}

/// What a node with this role is now.
fn now(node: &Node, role: &Role) -> Node {
    let (behind, lag) = role.lag();
    let reach = role.revision().map(|revision| Reach { revision, behind, lag });
    Node { reach, term: role.is_leader().then(|| role.term()), ..node.clone() }
}
