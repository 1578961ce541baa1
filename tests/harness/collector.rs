//! A collector of traces, and what it was told: the OpenTelemetry Collector's own receiver, which `make tools` builds.

use serde_json::Value;

use super::{Certificates, Running, cluster::free_address, command::tool};

/// The collector, as a process.
pub(crate) struct Collector {
    running: Running,
    endpoint: String,
    spans: Vec<Span>,
    /// All that it was told, as it prints it.
    pub(crate) told: String,
}

/// What it was told of.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The service that told it.
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if it is the first of its trace.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// 1: internal, 2: server, 3: client.
    pub(crate) kind: u64,
    /// It is told as failed, in these words.
    pub(crate) failure: Option<String>,
    attributes: Value,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_at("http", &[]).await
    }

    /// An encrypted one, which takes spans only of those for whom the authority of these certificates vouches.
    pub(crate) async fn encrypted(certificates: &Certificates) -> Self {
        Self::start_at("https", &["server.pem", "server.key", "ca.pem"].map(|name| certificates.path(name))).await
    }

    async fn start_at(scheme: &str, files: &[String]) -> Self {
        let address = free_address();
        let mut running = Running::start(tool("collector").arg(address.to_string()).args(files));
        running.find("listens on").await;
        Self { running, endpoint: format!("{scheme}://{address}"), spans: Vec::new(), told: String::new() }
    }

    /// What programs are told of it: where it is, and that it need not be waited for.
    pub(crate) fn settings(&self) -> [(&str, &str); 2] {
        [("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")]
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The first span that is like this, as soon as it was told of one.
    pub(crate) async fn find(&mut self, is_wanted: impl Fn(&Span) -> bool) -> Span {
        loop {
            if let Some(found) = self.spans.iter().find(|span| is_wanted(span)) {
                return found.clone();
            }
            let line = self.running.line().await.expect("the collector goes on");
            self.spans.extend(spans(&serde_json::from_str(&line).unwrap()));
            self.told.push_str(&line);
        }
    }

    /// The same, by its name and the span that it is a part of.
    pub(crate) async fn below(&mut self, parent: &str, name: &str) -> Span {
        self.find(|span| span.parent == parent && span.name == name).await
    }

    /// The spans of this trace that it has been told of by now.
    pub(crate) fn of(&self, trace: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.trace == trace).collect()
    }
}

impl Span {
    /// What it says under this key: a text, or a number as its text.
    pub(crate) fn says(&self, key: &str) -> Option<&str> {
        value(&self.attributes, key)
    }
}

/// The spans in one batch of OTLP.
fn spans(batch: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for resource in items(&batch["resourceSpans"]) {
        let service = value(&resource["resource"]["attributes"], "service.name").unwrap();
        for scope in items(&resource["scopeSpans"]) {
            spans.extend(items(&scope["spans"]).map(|span| read(service, span)));
        }
    }
    spans
}

fn read(service: &str, span: &Value) -> Span {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    // 2 is an error.
    let failure = (span["status"]["code"] == 2).then(|| span["status"]["message"].as_str().unwrap_or_default().into());
    Span {
        service: service.to_owned(),
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        name: text("name"),
        kind: span["kind"].as_u64().unwrap(),
        failure,
        attributes: span["attributes"].clone(),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn value<'a>(attributes: &'a Value, key: &str) -> Option<&'a str> {
    let value = &items(attributes).find(|attribute| attribute["key"] == key)?["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str())
}
