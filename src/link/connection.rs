//! One connection, from the upgrade to its end, and what each side is told of that (CONTRACT 10.4).
//!
//! One task reads and decides, another one writes. Nothing that the plugin or the host does slowly is awaited by the
//! reading one: calls run in tasks of their own, answers wait in a bounded queue.

use std::fmt;

use axum::{
    Error,
    extract::ws::{Message, WebSocket},
};
use futures_util::{
    StreamExt,
    future::OptionFuture,
    stream::{Fuse, SplitStream},
};
use tokio::{
    task::JoinError,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};

use super::{
    Attached, Authenticated, Options, Pings, RpcError, Session, SessionEvents,
    envelope::{self, Inbound, Malformed},
    handshake::Route,
    observe::{Faults, Liveness, Step},
    queue::{WriteEnd, Writer},
    serving::{Serving, Source},
};
use crate::domain::RunEvent;

/// Serves this connection until it ends.
pub(super) async fn serve(route: Route, socket: WebSocket, authenticated: Authenticated, user_agent: String) {
    let Route { acceptor, options, metrics, .. } = route;
    let _connected = metrics.connected();
    let plugin = authenticated.plugin;
    let (session, queue) = Session::new(user_agent, metrics);
    let (sink, stream) = socket.split();
    let writer = Writer { sink, queue, session: session.clone(), options };
    let mut connection = Connection {
        session: session.clone(),
        stream: stream.fuse(),
        writer: AbortOnDropHandle::new(tokio::spawn(writer.run())),
        serving: Serving::new(session.clone()),
        attachment: None,
        options,
        faults: Faults::new(Instant::now()),
    };

    let mut attach = acceptor.attach(authenticated, session.clone());
    let (attached, end) = tokio::select! {
        attached = &mut attach => (attached, None),
        end = connection.run() => {
            // What waits for this connection fails now, so that the acceptor hears of its end in any case.
            session.end();
            (attach.await, Some(end))
        }
    };
    match attached {
        Ok(attached) => connection.attach(attached),
        Err(_) => session.close(CloseReason::Rejected),
    }
    let end = match end {
        Some(end) => end,
        None => connection.run().await,
    };
    info!(%plugin, session = session.id(), faults = connection.faults.total(), reason = end.to_string(), "disconnected");
    connection.finish(end).await;
}

struct Connection {
    session: Session,
    stream: Fuse<SplitStream<WebSocket>>,
    writer: AbortOnDropHandle<WriteEnd>,
    serving: Serving,
    attachment: Option<Attachment>,
    options: Options,
    faults: Faults,
}

impl Connection {
    fn attach(&mut self, attached: Attached) {
        let Attached { pings, events, host, caller, run, start } = attached;
        let liveness = Liveness::new(pings.interval, pings.timeout, Instant::now());
        self.attachment = Some(Attachment { pings, events, liveness, end: None });
        self.serving.open(host, Source { plugin: caller, run, start });
    }

    /// Reads and acts until the connection ends. Nothing is lost if this is dropped and called again.
    async fn run(&mut self) -> End {
        loop {
            let wake = OptionFuture::from(self.wake().map(sleep_until));
            tokio::select! {
                biased;
                why = self.session.closing() => return End::Ours(why),
                ended = &mut self.writer => return End::of_writer(ended),
                Some(()) = wake => self.tick(),
                () = self.serving.reap() => {}
                frame = self.stream.next() => if let Some(end) = self.take(frame) {
                    return end;
                },
            }
        }
    }

    /// When there is something to do though nothing comes. What is to be reported waits until somebody listens.
    fn wake(&self) -> Option<Instant> {
        let liveness = self.attachment.as_ref()?.liveness.wake_with_others();
        Some(self.faults.wake().map_or(liveness, |report| report.min(liveness)))
    }

    fn take(&mut self, frame: Option<Result<Message, Error>>) -> Option<End> {
        match frame {
            Some(Ok(Message::Text(text))) => self.take_text(&text),
            // Only text means anything (CONTRACT 10.4).
            Some(Ok(Message::Binary(_))) => self.note_fault("a binary frame: messages are text frames"),
            Some(Ok(Message::Pong(_))) => {}
            // The library has queued the answer; that it is read is seen to by the writer.
            Some(Ok(Message::Ping(_))) => self.session.owe_pong(),
            Some(Ok(Message::Close(frame))) => return Some(End::Theirs(frame.map(|frame| frame.code))),
            Some(Err(error)) => return Some(End::of_error(&error)),
            None => return Some(End::Lost("end of stream".into())),
        }
        None
    }

    fn take_text(&mut self, text: &str) {
        match envelope::read(text) {
            Inbound::Request(request) => self.serving.serve(request),
            Inbound::Response(response) => {
                if let Err(fault) = self.session.resolve(response) {
                    self.note_fault(&fault);
                }
            }
            Inbound::Malformed(Malformed { problem, reply_to }) => {
                self.note_fault(&problem);
                if let Some(id) = reply_to {
                    self.serving.refuse(&id, &RpcError::new(RpcError::INVALID_REQUEST, problem));
                }
            }
        }
        self.session.hear();
        let Some(attachment) = &mut self.attachment else { return };
        let heard = attachment.liveness.hear(Instant::now());
        if let Some(after) = heard.after_ping {
            self.session.metrics().pinged(after);
        }
        if heard.is_news {
            (attachment.events)(RunEvent::PongReceived);
        }
    }

    fn note_fault(&mut self, what: &str) {
        debug!(session = self.session.id(), what, "the plugin broke the protocol");
        self.faults.note(what);
    }

    fn tick(&mut self) {
        let Some(attachment) = &mut self.attachment else { return };
        if let Some(faults) = self.faults.take_due(Instant::now()) {
            (attachment.events)(faults);
        }
        match attachment.liveness.tick(Instant::now(), self.session.busy_until()) {
            Step::Ping => {
                // A ping that can't be queued counts as missed, like one that is not answered.
                let _ = self.session.send_ping(attachment.pings.timeout);
            }
            Step::Miss => (attachment.events)(RunEvent::PongMissed),
            Step::Wait => {}
        }
    }

    /// Everything that waits for this connection learns of its end first; then the closing handshake.
    async fn finish(self, end: End) {
        let Self { session, mut stream, writer, serving, attachment, options, mut faults } = self;
        session.end_for(&end.to_string());
        drop(serving);
        if let Some(mut attachment) = attachment {
            if let Some(rest) = faults.take_rest() {
                (attachment.events)(rest);
            }
            attachment.end = Some(end.clone());
        }
        if let Some(why) = end.answer() {
            session.close(why);
            let _ = timeout(options.close_timeout, writer).await;
        } else {
            drop(writer);
        }
        // Reads on until the plugin has closed its side: this also sends the answer to its close frame. After an error the
        // library reads no further; then the listener throws away what still comes, so that our close frame is not reset.
        let rest = async { while stream.next().await.is_some() {} };
        let _ = timeout(options.close_timeout, rest).await;
    }
}

struct Attachment {
    pings: Pings,
    events: SessionEvents,
    liveness: Liveness,
    end: Option<End>,
}

/// Reports the end on drop, so that it is reported exactly once even if this task panics or is dropped.
impl Drop for Attachment {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| End::Lost("the connection was dropped".into()));
        (self.events)(RunEvent::Disconnected { reason: end.to_string(), is_fault: end.is_fault() });
    }
}

/// Why plugd closes a connection (CONTRACT 10.4). The SDKs act on code and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// 1000 `closed`: the plugin was deactivated, deleted or given another token.
    Closed,
    /// 1001: plugd stops.
    GoingAway,
    /// 1008 `connection rejected`: not wanted now.
    Rejected,
    /// 1009: a message of the plugin was too long.
    TooLarge,
    /// 1011 `internal error`: the connection failed.
    Failed,
    /// 1011 `internal error`: the plugin does not read what it asked for.
    Unread,
}

impl CloseReason {
    /// WebSocket's close code, and the text beside it.
    pub(super) const fn frame(self) -> (u16, &'static str) {
        match self {
            Self::Closed => (1000, "closed"),
            Self::GoingAway => (1001, "going away"),
            Self::Rejected => (1008, "connection rejected"),
            Self::TooLarge => (1009, "message too big"),
            Self::Failed | Self::Unread => (1011, "internal error"),
        }
    }
}

/// Said of a plugin that sends and does not read.
const UNREAD: &str = "the plugin does not read what is sent to it";

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Ours(CloseReason),
    /// The plugin closes it, with this code.
    Theirs(Option<u16>),
    TooLarge,
    Broken(String),
    /// Nothing can be written, for this reason.
    Unwritable(&'static str),
    Lost(String),
}

impl End {
    fn of_writer(end: Result<WriteEnd, JoinError>) -> Self {
        match end {
            Ok(WriteEnd::Stuck) => Self::Unwritable(UNREAD),
            Ok(WriteEnd::Broken | WriteEnd::Closed) => Self::Unwritable("the connection was lost: writing failed"),
            Err(_) => Self::Unwritable("internal error: the writer is gone"),
        }
    }

    /// The WebSocket library's error is told by its words: axum does not let its type through.
    fn of_error(error: &Error) -> Self {
        let text = error.to_string();
        if text.starts_with("Space limit exceeded") {
            Self::TooLarge
        } else if text.starts_with("IO error") || text.contains("without closing handshake") {
            Self::Lost(text)
        } else {
            Self::Broken(text)
        }
    }

    /// Whether plugd ended it for something that the plugin did.
    fn is_fault(&self) -> bool {
        matches!(self, Self::Ours(CloseReason::Unread) | Self::TooLarge | Self::Broken(_) | Self::Unwritable(UNREAD))
    }

    /// What the plugin is still to be told (CONTRACT 10.4).
    fn answer(&self) -> Option<CloseReason> {
        match self {
            Self::Ours(why) => Some(*why),
            Self::TooLarge => Some(CloseReason::TooLarge),
            Self::Broken(_) => Some(CloseReason::Failed),
            Self::Theirs(_) | Self::Unwritable(_) | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(CloseReason::Unread) => f.write_str(UNREAD),
            Self::Ours(why) => {
                let (code, text) = why.frame();
                write!(f, "plugd closed the connection ({code} {text})")
            }
            Self::Theirs(Some(code)) => write!(f, "the plugin closed the connection ({code})"),
            Self::Theirs(None) => f.write_str("the plugin closed the connection"),
            Self::TooLarge => f.write_str("a message of the plugin was too long"),
            Self::Broken(how) => write!(f, "the plugin broke the protocol: {how}"),
            Self::Unwritable(why) => f.write_str(why),
            Self::Lost(how) => write!(f, "the connection was lost: {how}"),
        }
    }
}
