//! What is told of a call to the audit trail: see `auth`, which begins an entry for each call of a method that changes
//! something, so that no service has to think of it.
//!
//! The guard sees bytes, and only services see what a message is about. So whoever reads the id of a plugin or a token out of a
//! message, or makes one, notes it here for the call that is being answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use jiff::Timestamp;
use tokio::{task_local, time::Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{failures::address_of, tokens::Caller};
use crate::{
    domain::{
        HookId, PluginId, TokenId,
        audit::{AuditEvent, OK},
    },
    telemetry::trace::TraceId,
};

/// Takes events. Must not wait.
pub(super) type Record = Arc<dyn Fn(AuditEvent) + Send + Sync>;

/// What a call is about, as far as is known: the first of each kind that is noted.
#[derive(Debug, Default)]
struct Subject {
    plugin: OnceLock<PluginId>,
    token: OnceLock<TokenId>,
    hook: OnceLock<HookId>,
}

task_local! {
    static SUBJECT: Arc<Subject>;
}

/// The call that is being answered is about this plugin.
pub(super) fn about_plugin(id: PluginId) {
    // Nobody asks what a read is about.
    let _ = SUBJECT.try_with(|subject| subject.plugin.set(id));
}

/// The call that is being answered is about this access token.
pub(super) fn about_token(id: TokenId) {
    let _ = SUBJECT.try_with(|subject| subject.token.set(id));
}

/// The call that is being answered is about this webhook.
pub(super) fn about_hook(id: HookId) {
    let _ = SUBJECT.try_with(|subject| subject.hook.set(id));
}

/// A call that is being answered. Its event is recorded when this is dropped, however that comes about: a client that goes away
/// takes its call with it, and may yet have changed something.
pub(super) struct Entry {
    event: AuditEvent,
    subject: Arc<Subject>,
    record: Record,
}

impl Entry {
    /// An entry for a call of this method by this caller, until more is known: as if the client went away.
    pub(super) fn begin(method: &str, caller: &Caller, request: &mut Request, record: &Record) -> Self {
        let event = AuditEvent {
            id: 0,
            time: Timestamp::now(),
            principal: caller.token().into(),
            address: address_of(request),
            method: method.to_owned(),
            plugin: None,
            token: None,
            hook: None,
            code: name(Code::Cancelled).to_owned(),
            reason: None,
            trace_id: TraceId::of(request.headers_mut()).as_str().to_owned(),
        };
        Self { event, subject: Arc::default(), record: Arc::clone(record) }
    }

    /// Waits for the answer, and records how the call ended.
    pub(super) async fn of(mut self, answer: impl Future<Output = Response>) -> Response {
        let response = SUBJECT.scope(Arc::clone(&self.subject), answer).await;
        // Only what was refused or failed says so in its head; all these methods have one answer.
        let failure = Status::from_header_map(response.headers());
        self.event.code = failure.as_ref().map_or(OK, |failure| name(failure.code())).to_owned();
        self.event.reason = failure.and_then(|failure| failure.get_details_error_info()).map(|info| info.reason);
        response
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Subject { plugin, token, hook } = &*self.subject;
        let (plugin, token, hook) = (plugin.get().copied(), token.get().copied(), hook.get().copied());
        (self.record)(AuditEvent { time: Timestamp::now(), plugin, token, hook, ..self.event.clone() });
    }
}

/// The name of a code, as gRPC's specification writes it.
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => OK,
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// How long no further refused call of the same token and method is told of.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// Calls that are told of in that time, of all tokens together.
const MAX_TOLD: usize = 1000;

/// Which calls are told of that were refused for their caller's role: of each token and method one within the window. The trail
/// keeps a number of events, so without a limit whoever may do nothing could call until nothing else is in it.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<(TokenId, &'static str), Instant>>);

impl Refusals {
    /// Whether a call that is refused now is to be told of. Then it counts as told.
    pub(super) fn is_told(&self, token: TokenId, method: &'static str) -> bool {
        let now = Instant::now();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, since| now.duration_since(*since) < WINDOW);
        if told.len() >= MAX_TOLD || told.contains_key(&(token, method)) {
            return false;
        }
        told.insert((token, method), now);
        true
    }
}

#[cfg(test)]
mod tests;
