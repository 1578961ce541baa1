//! Which node answers a call: the one that was called, or the leader.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use tokio::sync::watch;
use tonic::Status;

use super::{Forwarder, Progress, RETRY};
use crate::{
    domain::{Error, Reason},
    grpc::{self, Access},
};

/// Calls that any node answers: what they tell it has from the journal that it follows, reads in the database, or knows of
/// itself. All others are the leader's.
const ANSWERED_HERE: [&str; 12] = [
    "/plugd.v1.PluginService/GetPlugin",
    "/plugd.v1.PluginService/ListPlugins",
    "/plugd.v1.PluginService/ListPluginEvents",
    "/plugd.v1.PluginService/WatchState",
    "/plugd.v1.ConfigurationService/GetConfiguration",
    "/plugd.v1.ConfigurationService/GetConfigurationSchema",
    "/plugd.v1.ConfigurationService/ListConfigurationRevisions",
    "/plugd.v1.PolicyService/GetPolicy",
    "/plugd.v1.AccessService/WhoAmI",
    "/plugd.v1.AccessService/ListTokens",
    "/plugd.v1.ServerService/GetServer",
    "/plugd.v1.ServerService/ListNodes",
];

/// What a node answers that knows nothing new: how it is itself.
const ABOUT_ITSELF: &str = "/plugd.v1.ServerService/GetServer";

/// Calls that change which tokens are good. No revision tells of that.
const OF_TOKENS: [&str; 3] =
    ["/plugd.v1.AccessService/SignIn", "/plugd.v1.AccessService/CreateToken", "/plugd.v1.AccessService/RevokeToken"];

/// Services that any node has for itself.
const OF_EACH_NODE: [&str; 3] = ["/grpc.health.v1.", "/grpc.reflection.v1.", "/grpc.reflection.v1alpha."];

/// Whether a node that does not lead answers a call of this path itself.
pub fn is_answered_here(path: &str) -> bool {
    ANSWERED_HERE.contains(&path) || OF_EACH_NODE.iter().any(|service| path.starts_with(service))
}

/// Whether a call of this path is answered out of the node's own memory of the database.
fn is_remembered(path: &str) -> bool {
    ANSWERED_HERE.contains(&path) && path != ABOUT_ITSELF
}

/// The API at a node that does not lead.
#[derive(Clone)]
pub struct Routed {
    /// Answers what any node can.
    pub server: grpc::Server,
    /// Has the leader answer the rest.
    pub forwarder: Forwarder,
    /// The tokens that are good here.
    pub access: Arc<Access>,
    /// How far this node follows.
    pub progress: watch::Receiver<Progress>,
}

impl Routed {
    /// Answers a call.
    pub async fn answer(&self, request: Request) -> Response {
        match request.uri().path() {
            path if is_remembered(path) && self.progress.borrow().is_stale() => grpc::status::refusal(stale()),
            path if is_answered_here(path) => self.server.answer(request).await,
            _ => self.forward(request).await,
        }
    }

    /// Once a token is revoked through this node, it is of no use here.
    async fn forward(&self, request: Request) -> Response {
        let is_of_tokens = OF_TOKENS.contains(&request.uri().path());
        let answer = self.forwarder.call(request).await;
        // A refusal has its status in the head.
        if is_of_tokens && !answer.headers().contains_key(Status::GRPC_STATUS) {
            self.access.catch_up().await;
        }
        answer
    }
}

fn stale() -> Error {
    Error::new(Reason::StoreUnavailable, "this plugd can't read the database, and what it has read is too old")
        .after(RETRY)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::api::DESCRIPTOR_SET;

    #[test]
    fn only_methods_that_there_are_are_listed() {
        let files = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap().file;
        let services = files.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
        let methods = services.flat_map(|(package, service)| {
            service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
        });
        let all: Vec<String> = methods.collect();
        assert!(all.len() > 25, "{all:?}");
        for listed in ANSWERED_HERE.into_iter().chain(OF_TOKENS) {
            assert!(all.iter().any(|method| method == listed), "{listed}");
        }
    }

    #[test]
    fn what_changes_something_or_is_of_the_leaders_host_is_the_leaders() {
        for path in
            ["plugd.v1.PluginService/DeletePlugin", "plugd.v1.LogService/StreamLogs", "plugd.v1.No/No", "rpc", ""]
        {
            assert!(!is_answered_here(&format!("/{path}")), "{path}");
        }
        assert!(is_answered_here("/grpc.health.v1.Health/Watch"));
        assert!(is_answered_here("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
    }
}
