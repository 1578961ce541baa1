//! The generated gRPC API, and what every user of it needs beside it.

pub mod json;
pub mod words;

use axum::{
    body::{Bytes, HttpBody},
    http::uri::PathAndQuery,
};
use jiff::Timestamp;
use prost::Message;
use prost_types::Struct;
use tonic::{
    Request, Response, Status,
    body::Body,
    client::{Grpc, GrpcService},
};
use tonic_prost::ProstCodec;
use tower::BoxError;

/// Messages, clients and servers of `plugd.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    unreachable_pub,
    clippy::large_futures,
    clippy::too_many_lines
)]
pub mod v1 {
    tonic::include_proto!("plugd.v1");
    include!(concat!(env!("OUT_DIR"), "/unary.rs"));
}

/// A request that is one message and has one answer. The build makes those of `plugd.v1` such.
pub trait Unary: Message + 'static {
    /// What it is answered with.
    type Answer: Message + Default + 'static;
    /// The method that it is for, as `/plugd.v1.PluginService/GetPlugin`.
    const METHOD: &str;
}

/// Makes a call over what carries it.
///
/// # Errors
/// The service's, or the connection's.
pub async fn call<S, Q>(service: S, request: Request<Q>) -> Result<Response<Q::Answer>, Status>
where
    S: GrpcService<Body, ResponseBody: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    Q: Unary,
{
    let mut client = Grpc::new(service).max_decoding_message_size(MAX_MESSAGE);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let method = PathAndQuery::from_static(Q::METHOD);
    client.unary(request, method, ProstCodec::<Q, Q::Answer>::default()).await
}

impl v1::Plugin {
    /// The manifest, read from its encoding; an empty one if that can't be read.
    #[must_use]
    pub fn manifest_struct(&self) -> Struct {
        Struct::decode(&*self.manifest).unwrap_or_default()
    }

    /// The failure of the plugin in words; empty if it has none.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status.as_ref().map_or("", v1::PluginStatus::message)
    }
}

impl v1::watch_state_response::EventBatch {
    /// A batch of these events.
    #[must_use]
    pub fn of(events: &[v1::PluginEvent]) -> Self {
        Self { events: events.iter().map(|event| event.encode_to_vec().into()).collect() }
    }

    /// The events, read from their encodings.
    ///
    /// # Errors
    /// `INTERNAL`: one can't be read.
    pub fn read(&self) -> Result<Vec<v1::PluginEvent>, Status> {
        let read = |event: &Bytes| v1::PluginEvent::decode(event.clone());
        let events = self.events.iter().map(read).collect::<Result<_, _>>();
        events.map_err(|error| Status::internal(format!("an event of the stream can't be read: {error}")))
    }
}

impl v1::PluginStatus {
    /// The failure in words; empty if there is none.
    #[must_use]
    pub fn message(&self) -> &str {
        self.failure.as_ref().map_or("", |failure| &failure.message)
    }
}

/// A point in time, if it is one.
#[must_use]
pub fn time(time: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// The encoded descriptor set of `plugd.v1`, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugd_descriptor.bin"));

/// Most bytes of a package: what an upload may have.
pub const MAX_PACKAGE: u64 = crate::domain::package::MAX_ARCHIVE;

/// Largest message that clients of the API take, in bytes: a page of plugins with large manifests.
pub const MAX_MESSAGE: usize = 64 << 20;

/// The `domain` of every `google.rpc.ErrorInfo` that plugd sends.
pub const ERROR_DOMAIN: &str = "plugd";

/// Name of the tokens that those of links are exchanged for.
pub const LINK_SESSION: &str = "console, signed in by a link";

/// Key of `ErrorInfo.metadata` under which plugd says what to do about an error.
pub const SUGGESTED: &str = "suggested";
