//! The bound on spans that wait for their collector, and what became of them. The SDK's own queue drops what finds no room and
//! tells nobody; so nothing is handed to it that would find none.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// How often the log tells of spans that were dropped, at the most.
const TELL: Duration = Duration::from_secs(60);

/// Why spans are dropped that the collector did not take.
const NOT_SENT: &str = "not_sent";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Spans that wait, or are under way.
    waiting: AtomicUsize,
    sent: Counter,
    dropped: Family<Why, Counter>,
    untold: Mutex<Untold>,
}

/// Spans that were dropped, and that the log has not told of.
#[derive(Debug, Default)]
struct Untold {
    spans: usize,
    /// When it told of others.
    told: Option<Instant>,
}

impl Counts {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("trace_spans_sent", "Spans that the collector of traces took", self.sent.clone());
        let help = "Spans that were dropped: more waited than may, or the collector of traces did not take them";
        registry.register("trace_spans_dropped", help, self.dropped.clone());
    }

    /// How many spans wait, or are under way.
    fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// At the end, nothing that still waits is sent any more. Answers with how many spans that are.
    pub(super) fn lose_the_rest(&self) -> usize {
        let spans = self.waiting();
        self.dropped.get_or_create(&Why { reason: NOT_SENT }).inc_by(spans as u64);
        spans
    }

    /// Takes a place in the queue, if one is free.
    fn enter(&self, room: usize) -> bool {
        let has_room = self.waiting.fetch_add(1, Relaxed) < room;
        if !has_room {
            self.leave(1);
        }
        has_room
    }

    fn leave(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Relaxed);
    }

    fn drop(&self, spans: usize, reason: &'static str, words: impl fmt::Display) {
        self.dropped.get_or_create(&Why { reason }).inc_by(spans as u64);
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        untold.spans += spans;
        if untold.told.is_none_or(|told| told.elapsed() >= TELL) {
            tracing::warn!(spans = untold.spans, "spans of traces were dropped: {words}");
            *untold = Untold { spans: 0, told: Some(Instant::now()) };
        }
    }
}

/// Hands spans on as long as fewer than `room` wait. It never waits itself.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    pub(super) next: P,
    pub(super) room: usize,
    pub(super) counts: &'static Counts,
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.counts.enter(self.room) {
            self.next.on_end(span);
        } else {
            self.counts.drop(1, "queue_full", format_args!("{} wait already", self.room));
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Counts what is sent, and what can't be.
#[derive(Debug)]
pub(super) struct Counted<E> {
    pub(super) next: E,
    pub(super) counts: &'static Counts,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.next.export(batch).await;
        // Until then they take up room, and may be what is left at the end.
        self.counts.leave(spans);
        match &sent {
            Ok(()) => drop(self.counts.sent.inc_by(spans as u64)),
            Err(error) => self.counts.drop(spans, NOT_SENT, error),
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use opentelemetry_sdk::{error::OTelSdkError, trace::SdkTracerProvider};

    use super::*;

    /// Takes everything, and does nothing with it.
    #[derive(Debug)]
    struct Sink;

    impl SpanProcessor for Sink {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, _: SpanData) {}

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// A collector that takes everything, or nothing.
    #[derive(Debug)]
    struct Collector(bool);

    impl SpanExporter for Collector {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            if self.0 { Ok(()) } else { Err(OTelSdkError::InternalFailure("no".to_owned())) }
        }
    }

    /// A collector that takes a batch only while it is counted.
    #[derive(Debug)]
    struct Asking(&'static Counts);

    impl SpanExporter for Asking {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            Collector(self.0.waiting() == batch.len()).export(batch).await
        }
    }

    fn dropped(counts: &Counts, reason: &'static str) -> u64 {
        counts.dropped.get_or_create(&Why { reason }).get()
    }

    fn make_spans(provider: &SdkTracerProvider, count: usize) -> Vec<SpanData> {
        let made = (0..count).map(|_| provider.tracer("test").start("test"));
        made.map(|span| span.exported_data().unwrap()).collect()
    }

    #[tokio::test]
    async fn no_more_spans_wait_than_may_and_what_is_sent_makes_room() {
        let counts: &Counts = Box::leak(Box::default());
        let provider =
            SdkTracerProvider::builder().with_span_processor(Bounded { next: Sink, room: 3, counts }).build();
        drop(make_spans(&provider, 5));
        assert_eq!((counts.waiting(), dropped(counts, "queue_full")), (3, 2));
        assert_eq!(
            counts.untold.lock().unwrap().spans,
            1,
            "the log was told of the first, and a minute has not passed"
        );

        let elsewhere = SdkTracerProvider::builder().build();
        Counted { next: Collector(true), counts }.export(make_spans(&elsewhere, 2)).await.unwrap();
        Counted { next: Collector(false), counts }.export(make_spans(&elsewhere, 1)).await.unwrap_err();
        assert_eq!((counts.waiting(), counts.sent.get(), dropped(counts, "not_sent")), (0, 2, 1));

        drop(make_spans(&provider, 1));
        assert_eq!((counts.waiting(), dropped(counts, "queue_full")), (1, 2));
        assert_eq!((counts.lose_the_rest(), dropped(counts, "not_sent")), (1, 2));
    }

    #[tokio::test]
    async fn a_batch_takes_up_room_until_the_collector_has_answered() {
        let counts: &Counts = Box::leak(Box::default());
        let provider =
            SdkTracerProvider::builder().with_span_processor(Bounded { next: Sink, room: 2, counts }).build();
        let spans = make_spans(&provider, 2);
        let exporter = Counted { next: Asking(counts), counts };
        exporter.export(spans).await.unwrap();
        assert_eq!((counts.waiting(), counts.sent.get()), (0, 2));
    }
}
