//! What is passed on of a trace, so that what is done for somebody is told as a part of what they do.

use std::{
    fmt,
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState},
};

use super::{ID, STEP, export, named};

/// How long what follows from something is told as a part of it.
const RECENT: Duration = Duration::from_secs(300);

/// The step of a trace of which other steps are parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    step: u64,
    is_sampled: bool,
}

impl Parent {
    /// What a request with these headers is a part of. Where no collector is told of spans this is only what somebody else
    /// records: what nobody does would keep others from recording what is below.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let named = named(headers)?;
        let is_sampled = u8::from_str_radix(named.flags, 16).ok()? & 1 == 1;
        let trace = u128::from_str_radix(named.id, 16).ok()?;
        let step = u64::from_str_radix(named.step, 16).ok()?;
        (is_sampled || export::is_on()).then_some(Self { trace, step, is_sampled })
    }

    /// What is below a span of the SDK's; none of one that has no trace, as after the end of all tracing.
    pub(super) fn below(span: &SpanContext) -> Option<Self> {
        let of = |span: &SpanContext| Self {
            trace: u128::from_be_bytes(span.trace_id().to_bytes()),
            step: u64::from_be_bytes(span.span_id().to_bytes()),
            is_sampled: span.is_sampled(),
        };
        span.is_valid().then(|| of(span))
    }

    /// The same as the SDK has it.
    pub(super) fn context(self) -> Context {
        let flags = if self.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, step) = (self.trace.into(), self.step.into());
        Context::new().with_remote_span_context(SpanContext::new(trace, step, flags, true, TraceState::NONE))
    }
}

/// As W3C Trace Context writes it in `traceparent`.
impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:0ID$x}-{:0STEP$x}-{:02x}", self.trace, self.step, u8::from(self.is_sampled))
    }
}

/// A parent of what follows from it within five minutes, the longest that a caller waits. What comes later begins a trace of its
/// own: nobody can look at one that grows for days.
#[derive(Debug, Clone, Copy)]
pub struct Recent {
    parent: Parent,
    until: Instant,
}

impl From<Parent> for Recent {
    fn from(parent: Parent) -> Self {
        Self { parent, until: Instant::now() + RECENT }
    }
}

impl Recent {
    /// The parent, if it is recent still.
    pub fn parent(self) -> Option<Parent> {
        (Instant::now() < self.until).then_some(self.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(traceparent: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), traceparent.parse().unwrap())]);
        Parent::of(&headers).map(|parent| parent.to_string())
    }

    #[test]
    fn a_trace_that_somebody_records_is_passed_on_as_it_came() {
        assert_eq!(of(SAMPLED).as_deref(), Some(SAMPLED));
        assert_eq!(
            of(&SAMPLED.replace("-01", "-03")).as_deref(),
            Some(SAMPLED),
            "other flags are not plugd's to pass on"
        );
    }

    #[test]
    fn a_trace_that_nobody_records_is_not_passed_on() {
        assert_eq!(of(&SAMPLED.replace("-01", "-00")), None);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn a_span_is_the_same_parent_whichever_form_it_has() {
        let parent = Parent { trace: 7, step: 9, is_sampled: true };
        let context = parent.context();
        assert_eq!(Parent::below(context.span().span_context()), Some(parent));
        assert_eq!(Parent::below(&SpanContext::empty_context()), None);
    }

    #[test]
    fn what_follows_late_has_no_parent() {
        let parent = Parent { trace: 7, step: 9, is_sampled: true };
        assert_eq!(Recent::from(parent).parent(), Some(parent));
        assert_eq!(Recent { parent, until: Instant::now() }.parent(), None);
    }
}
