//! How spans get to a collector: by OTLP over gRPC, as the standard variables `OTEL_*` say. Most of these the SDK reads itself;
//! what it would take for something else, in silence, is refused here.

use std::{
    env, io,
    path::Path,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use axum::http::{HeaderName, HeaderValue, Uri};
use opentelemetry::{InstrumentationScope, Key, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider},
};
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::bounded::{Bounded, Counted, Counts};
use crate::files;

/// The name of the service unless the environment says another one.
const SERVICE: &str = env!("CARGO_PKG_NAME");
const SERVICE_NAME: Key = Key::from_static_str("service.name");
/// What the SDK calls a service that has no name.
const NAMELESS: &str = "unknown_service";

/// Spans that may wait for the collector unless the environment says another number: the SDK's own default.
const QUEUE: usize = 2048;
/// The most that it may say: each takes about a kilobyte.
const MAX_QUEUE: usize = 1_000_000;

/// How long the last spans may take to get to the collector when plugd ends.
const FINISH: Duration = Duration::from_secs(1);

const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const COMPRESSION: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const AUTHORITY: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const CERTIFICATE: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const KEY: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];

/// The samplers that there are.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// The value of a variable; none if it is empty.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;
/// The variable that says something, and what.
type Said = Option<(&'static str, String)>;

/// Why spans can't be sent as the environment says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{variable} is {value:?}, and plugd serves {served} only")]
    Unserved { variable: &'static str, value: String, served: &'static str },
    /// It may hold a secret, and is not repeated.
    #[error("{variable} can't be read: it must be {expected}")]
    Secret { variable: &'static str, expected: &'static str },
    #[error("{variable} names the file {file}, which can't be read: {error}")]
    File { variable: &'static str, file: String, error: io::Error },
    #[error("traces can't be sent: {0}")]
    Build(#[from] ExporterBuildError),
}

struct Export {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

static EXPORT: OnceLock<Export> = OnceLock::new();
static COUNTS: LazyLock<Counts> = LazyLock::new(Counts::default);

/// What makes spans, if a collector is told of them.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    EXPORT.get().map(|export| &export.tracer)
}

/// Whether a collector is told of spans.
pub(super) fn is_on() -> bool {
    EXPORT.get().is_some()
}

/// Has spans sent from now on, if the environment names a collector. To be called once, where there is a runtime.
///
/// # Errors
/// The environment asks for something that is not served, or can't be read.
pub fn start() -> Result<(), Error> {
    let variables: Variables = &|name| env::var(name).ok().filter(|value| !value.is_empty());
    if !is_wanted(variables)? {
        return Ok(());
    }
    let room = room(variables)?;
    let exporter = SpanExporter::builder().with_tonic().with_tls_config(tls(variables)?).build()?;
    let config = BatchConfigBuilder::default().with_max_queue_size(room).build();
    let batches = BatchSpanProcessor::new(Counted { next: exporter, counts: &COUNTS }, config);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Bounded { next: batches, room, counts: &COUNTS })
        .with_resource(resource())
        .build();
    let scope = InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build();
    let tracer = provider.tracer_with_scope(scope);
    if EXPORT.set(Export { provider, tracer }).is_ok() {
        // The address itself may have a password.
        tracing::info!(endpoint = first(variables, ENDPOINT).map(|(name, _)| name), "traces are sent to a collector");
    }
    Ok(())
}

/// Sends what waits, but not for long.
pub async fn finish() {
    let Some(Export { provider, .. }) = EXPORT.get() else { return };
    let finished = spawn_blocking(|| provider.shutdown_with_timeout(FINISH)).await;
    if !matches!(finished, Ok(Ok(()))) {
        let spans = COUNTS.lose_the_rest();
        tracing::warn!(spans, "the collector of traces did not take the last spans within {FINISH:?}");
    }
}

/// Registers what is counted, if anything is.
pub fn register(registry: &mut Registry) {
    if is_on() {
        COUNTS.register(registry);
    }
}

/// The first of these variables that says something, and what.
fn first<const N: usize>(variables: Variables, names: [&'static str; N]) -> Said {
    names.into_iter().find_map(|name| Some((name, variables(name)?)))
}

/// Whether the environment asks for traces.
fn is_wanted(variables: Variables) -> Result<bool, Error> {
    let is_off = variables(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variables(EXPORTER).is_some_and(|value| value == "none")
        || first(variables, ENDPOINT).is_none();
    if is_off {
        return Ok(false);
    }
    check(first(variables, [EXPORTER]), "otlp and none", |value| value == "otlp")?;
    check(first(variables, PROTOCOL), "grpc", |value| value == "grpc")?;
    check(first(variables, COMPRESSION), "none", |value| value == "none")?;
    let samplers = "always_on, always_off, traceidratio, and the same behind parentbased_,";
    check(first(variables, [SAMPLER]), samplers, |value| SAMPLERS.contains(&value))?;
    let is_ratio = |value: &str| value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio));
    check(first(variables, [SAMPLER_ARG]), "a number from 0 to 1", is_ratio)?;
    let is_count = |value: &str| value.parse::<u64>().is_ok_and(|count| count > 0);
    check(first(variables, [BATCH_SIZE]), "a number from 1", is_count)?;
    check(first(variables, [DELAY]), "a number of milliseconds from 1", is_count)?;
    check(first(variables, TIMEOUT), "a number of milliseconds from 1", is_count)?;
    check_secret(first(variables, ENDPOINT), "an address like http://127.0.0.1:4317", is_endpoint)?;
    check_secret(first(variables, HEADERS), "pairs like name=value with commas in between", are_headers)?;
    Ok(true)
}

/// Whether the SDK can read this address: one without a scheme is of https.
fn is_endpoint(value: &str) -> bool {
    let has_scheme = value.contains("://");
    if has_scheme { value.parse::<Uri>().is_ok() } else { format!("https://{value}").parse::<Uri>().is_ok() }
}

/// Whether the SDK leaves out none of these headers.
fn are_headers(value: &str) -> bool {
    value.split_terminator(',').all(|pair| {
        pair.split_once('=').is_some_and(|(name, value)| {
            HeaderName::try_from(name.trim()).is_ok()
                && HeaderValue::try_from(value.trim()).is_ok_and(|value| !value.is_empty())
        })
    })
}

fn check_secret(said: Said, expected: &'static str, is_readable: impl Fn(&str) -> bool) -> Result<(), Error> {
    match said {
        Some((variable, value)) if !is_readable(&value) => Err(Error::Secret { variable, expected }),
        _ => Ok(()),
    }
}

fn check(said: Said, served: &'static str, is_served: impl Fn(&str) -> bool) -> Result<(), Error> {
    match said {
        Some((variable, value)) if !is_served(&value) => Err(Error::Unserved { variable, value, served }),
        _ => Ok(()),
    }
}

/// Spans that may wait.
fn room(variables: Variables) -> Result<usize, Error> {
    let size = |value: &str| value.parse().ok().filter(|size| (1..=MAX_QUEUE).contains(size));
    let said = first(variables, [QUEUE_SIZE]);
    let room = said.as_ref().map_or(Some(QUEUE), |(_, value)| size(value));
    check(said, "a number from 1 to 1000000", |_| room.is_some())?;
    Ok(room.unwrap_or(QUEUE))
}

/// How a collector is known whose endpoint is encrypted, and how plugd is known to it.
fn tls(variables: Variables) -> Result<ClientTlsConfig, Error> {
    let read = |names: [&'static str; 2]| {
        let Some((variable, file)) = first(variables, names) else { return Ok(None) };
        files::read(Path::new(&file), files::MAX_TEXT).map(Some).map_err(|error| Error::File { variable, file, error })
    };
    let config = ClientTlsConfig::new();
    let config = match read(AUTHORITY)? {
        Some(authority) => config.ca_certificate(Certificate::from_pem(authority)),
        None => config.with_enabled_roots(),
    };
    let half = first(variables, CERTIFICATE).xor(first(variables, KEY));
    check(half, "a client's certificate and its key together", |_| false)?;
    match (read(CERTIFICATE)?, read(KEY)?) {
        (Some(certificate), Some(key)) => Ok(config.identity(Identity::from_pem(certificate, key))),
        _ => Ok(config),
    }
}

/// What plugd calls itself: what the environment says, or its own name.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let has_name = said.get_ref(&SERVICE_NAME).is_some_and(|name| !name.as_str().starts_with(NAMELESS));
    if has_name { said } else { Resource::builder().with_service_name(SERVICE).build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(said: &[(&str, &str)]) -> Result<bool, String> {
        let value = |name: &str| said.iter().find(|(said, _)| *said == name).map(|(_, value)| (*value).to_owned());
        is_wanted(&value).and_then(|is| room(&value).map(|_| is)).map_err(|error| error.to_string())
    }

    #[test]
    fn traces_are_sent_where_the_environment_names_a_collector_and_does_not_forbid_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(wanted(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "other")]), Ok(false));
        assert_eq!(wanted(&[endpoint]), Ok(true));
        assert_eq!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")]), Ok(true));
        assert_eq!(wanted(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(false));
        assert_eq!(wanted(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
    }

    #[test]
    fn what_is_for_traces_alone_wins_over_what_is_for_all() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        let [all, traces] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];
        assert_eq!(wanted(&[endpoint, (all, "http/protobuf"), (traces, "grpc")]), Ok(true));
        let refused = wanted(&[endpoint, (all, "grpc"), (traces, "http/protobuf")]).unwrap_err();
        assert_eq!(refused, format!("{traces} is \"http/protobuf\", and plugd serves grpc only"));
    }

    #[test]
    fn what_the_sdk_would_take_for_something_else_is_refused() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        for (name, bad, good) in [
            (SAMPLER, "jaeger_remote", "parentbased_traceidratio"),
            (SAMPLER_ARG, "2", "0.5"),
            (QUEUE_SIZE, "1000001", "1000000"),
            (BATCH_SIZE, "0", "1"),
            (DELAY, "5s", "5000"),
            (TIMEOUT[0], "-1", "1"),
            (TIMEOUT[1], "10s", "10000"),
            (COMPRESSION[1], "gzip", "none"),
            (EXPORTER, "console", "otlp"),
        ] {
            assert!(wanted(&[endpoint, (name, bad)]).unwrap_err().contains(name), "{name}={bad}");
            assert_eq!(wanted(&[endpoint, (name, good)]), Ok(true), "{name}={good}");
        }
    }

    #[test]
    fn what_may_hold_a_secret_and_cannot_be_read_is_refused_without_repeating_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        for (name, bad, good) in [
            (ENDPOINT[0], "http://me:sec ret@c:4317", "http://me:secret@c:4317"),
            (ENDPOINT[0], "http://", "c:4317"),
            (HEADERS[0], "sec ret=1", "key=secret, other=a%20b=,"),
            (HEADERS[1], "key=1,sec", "key=1"),
            (HEADERS[1], "sec=\u{7}", "key=1"),
            (HEADERS[1], "sec=", "key=1"),
        ] {
            let refused = wanted(&[endpoint, (name, bad)]).unwrap_err();
            assert!(refused.starts_with(name) && !refused.contains("sec"), "{refused}");
            assert_eq!(wanted(&[endpoint, (name, good)]), Ok(true), "{name}={good}");
        }
    }
}
