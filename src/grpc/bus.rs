//! `plugd.v1.BusService`.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, TryStreamExt};
use prost_types::Struct;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, convert, parent_of, status::explain, wait::Deadline};
use crate::{
    api::v1::{
        CallPluginRequest, CallPluginResponse, PublishEventRequest, PublishEventResponse, ServeHostRequest,
        ServeHostResponse, bus_service_server, serve_host_request as asked, serve_host_response as told,
    },
    bus::{self, Events, HostCall, HostEvent, HostId, Hosts},
    domain::{
        Error, Reason, Result,
        manifest::{Access, Link},
    },
    link::{Queued, RpcError},
    supervisor::{Projection, draining},
};

/// How long an application may take to say what it serves.
const REGISTER: Duration = Duration::from_secs(10);

/// How long an application may leave what it is told unread.
const UNREAD: Duration = Duration::from_secs(10);

/// The service.
pub struct BusService {
    projection: Arc<Projection>,
    events: Events,
    hosts: Arc<Hosts>,
    draining: CancellationToken,
}

impl BusService {
    /// The service over these parts; `draining` ends its streams.
    pub fn new(projection: Arc<Projection>, events: Events, hosts: Arc<Hosts>, draining: CancellationToken) -> Self {
        Self { projection, events, hosts, draining }
    }
}

#[tonic::async_trait]
impl bus_service_server::BusService for BusService {
    type ServeHostStream = Pin<Box<dyn Stream<Item = Result<ServeHostResponse, Status>> + Send>>;

    async fn publish_event(&self, request: Request<PublishEventRequest>) -> Answer<PublishEventResponse> {
        super::caller(&request)?;
        let parent = parent_of(&request);
        let PublishEventRequest { name, payload } = request.into_inner();
        let payload = object("payload", payload.as_ref())?;
        let published = self.events.publish(&name, payload, parent)?;
        Ok(Response::new(PublishEventResponse { matched: published.matched, accepted: published.accepted }))
    }

    async fn call_plugin(&self, request: Request<CallPluginRequest>) -> Answer<CallPluginResponse> {
        super::caller(&request)?;
        let (parent, deadline, asked) = (parent_of(&request), Deadline::of_call(&request), request.into_inner());
        let id = convert::plugin_id(&asked.plugin_id)?;
        let timeout = timeout(asked.timeout, deadline)?;
        if asked.method.is_empty() {
            return Err(Error::field("method", "is missing").into());
        }
        let params = object("params", asked.params.as_ref())?;
        let result = bus::call(&self.projection, id, (&asked.method, params), timeout, parent).await?;
        Ok(Response::new(CallPluginResponse { result: Some(convert::checked_struct(&result)) }))
    }

    async fn serve_host(&self, request: Request<Streaming<ServeHostRequest>>) -> Answer<Self::ServeHostStream> {
        let caller = super::caller(&request)?;
        let messages = request.into_inner().map_err(explain);
        let hosts = self.hosts.clone();
        // The response stream goes out at once: clients wait for its headers before they send.
        let (sender, receiver) = mpsc::channel(16);
        let shutdown = self.draining.clone();
        tokio::spawn(async move {
            let served = serve(&hosts, messages, &sender);
            let error = tokio::select! {
                served = served => served.err(),
                error = caller.ended() => Some(error.into()),
                () = shutdown.cancelled() => Some(draining().into()),
                () = sender.closed() => None,
            };
            if let Some(error) = error {
                // An application that has gone away needs no reason, and one that does not read gets none.
                let _ = tokio::time::timeout(UNREAD, sender.send(Err(error))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }
}

/// An object in a request; an empty one where there is none.
fn object(field: &str, asked: Option<&Struct>) -> Result<Map<String, Value>> {
    asked.map(|asked| convert::object(field, asked)).transpose().map(Option::unwrap_or_default)
}

fn timeout(asked: Option<prost_types::Duration>, deadline: Deadline) -> Result<Duration> {
    let asked = asked.map(|asked| convert::duration("timeout", asked)).transpose()?;
    let asked = asked.unwrap_or(bus::CALL_TIMEOUT);
    if asked.is_zero() || asked > bus::MAX_CALL_TIMEOUT {
        return Err(Error::field("timeout", "must be more than nothing and at most 10 minutes"));
    }
    Ok(deadline.bound(asked))
}

type Sender = mpsc::Sender<Result<ServeHostResponse, Status>>;

/// Serves one application until its stream ends. What it is told and what it says go side by side: one that is slow to
/// read is still heard.
async fn serve(
    hosts: &Hosts,
    mut messages: impl Stream<Item = Result<ServeHostRequest, Status>> + Unpin,
    sender: &Sender,
) -> Result<(), Status> {
    let first = tokio::time::timeout(REGISTER, messages.next()).await;
    let methods = match first {
        Ok(Some(message)) => methods(message?)?,
        Ok(None) => return Ok(()),
        Err(_) => return Err(Error::field("register", "must be the first message, within 10 seconds").into()),
    };
    let (id, calls) = hosts.register(methods);
    let _registration = Registration { hosts, id };
    tokio::select! {
        ended = hear(hosts, id, messages) => ended,
        stuck = announce_all(calls, sender) => stuck.map_err(Status::from),
    }
}

/// Takes an application's answers until it has no more to say.
async fn hear(
    hosts: &Hosts,
    id: HostId,
    mut messages: impl Stream<Item = Result<ServeHostRequest, Status>> + Unpin,
) -> Result<(), Status> {
    while let Some(message) = messages.next().await {
        reply(hosts, id, message?)?;
    }
    Ok(())
}

/// Tells an application what it is called until it does not read that any longer.
async fn announce_all(mut calls: mpsc::Receiver<Queued<HostEvent>>, sender: &Sender) -> Result<()> {
    tell(sender, told::Message::Registered(told::Registered {})).await?;
    while let Some(event) = calls.recv().await {
        tell(sender, announce(event.item)).await?;
    }
    Ok(())
}

/// Ends the registration with the stream, however that ends.
struct Registration<'a> {
    hosts: &'a Hosts,
    id: HostId,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.hosts.unregister(self.id);
    }
}

/// # Errors
/// `TOO_BUSY`: the application left everything unread for too long. Its calls must not wait for it.
async fn tell(sender: &Sender, message: told::Message) -> Result<()> {
    let told = sender.send(Ok(ServeHostResponse { message: Some(message) }));
    // A stream that the application has closed ends by itself.
    let stuck = |_| Error::new(Reason::TooBusy, format!("what the application is told was not read for {UNREAD:?}"));
    tokio::time::timeout(UNREAD, told).await.map(Result::unwrap_or_default).map_err(stuck)
}

fn methods(message: ServeHostRequest) -> Result<HashSet<String>> {
    let Some(asked::Message::Register(register)) = message.message else {
        return Err(Error::field("register", "must be the first message"));
    };
    let methods: HashSet<_> = register.methods.into_iter().collect();
    if methods.is_empty() || methods.contains("") {
        return Err(Error::field("register.methods", "must name the methods to serve, or \"*\""));
    }
    if methods.contains(bus::GET_CONFIG) {
        return Err(Error::field("register.methods", "get_config is answered by plugd itself, with what is stored"));
    }
    Ok(methods)
}

fn reply(hosts: &Hosts, id: HostId, message: ServeHostRequest) -> Result<()> {
    let Some(asked::Message::Reply(reply)) = message.message else {
        return Err(Error::field("reply", "must be all that follows the first message"));
    };
    let answer = match reply.outcome {
        Some(asked::reply::Outcome::Result(result)) => convert::object("result", &result)
            .map_err(|error| RpcError::failed(format!("the application's answer can't be passed on: {error}"))),
        Some(asked::reply::Outcome::Error(error)) => Err(RpcError { code: error.code.into(), message: error.message }),
        None => Ok(Map::new()),
    };
    if !hosts.answer(id, &reply.call_id, answer) {
        tracing::debug!(call = reply.call_id, "an answer came that nobody waits for");
    }
    Ok(())
}

fn announce(event: HostEvent) -> told::Message {
    match event {
        HostEvent::Cancelled(call_id) => told::Message::Cancelled(told::Cancelled { call_id }),
        HostEvent::Call(HostCall { id, plugin, run, method, params, timeout, parent }) => {
            told::Message::Call(told::Call {
                call_id: id,
                plugin_id: plugin.id.to_string(),
                method,
                params: Some(convert::checked_struct(&params)),
                manifest_id: plugin.desired.manifest.id.clone(),
                timeout: prost_types::Duration::try_from(timeout).ok(),
                run_id: run.to_string(),
                access: plugin.desired.manifest.access.as_ref().map(access),
                traceparent: parent.map(|parent| parent.to_string()),
            })
        }
    }
}

fn access(asked: &Access) -> told::Access {
    let link = |link: &Link| told::Link { text: link.text.clone(), url: link.url.clone() };
    told::Access {
        handle: asked.handle.clone(),
        name: asked.name.clone(),
        permissions: asked.permissions.clone(),
        bio: asked.bio.clone(),
        links: asked.links.iter().map(link).collect(),
        metadata: (!asked.metadata.is_empty()).then(|| convert::checked_struct(&asked.metadata)),
    }
}

#[cfg(test)]
mod tests;
