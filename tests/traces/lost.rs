//! A collector that does not answer, or is not there: nobody waits for it, and what it misses is counted.

use std::{net::TcpListener, time::Instant};

use crate::harness::{Certificates, Collector, Plugd, QUICK, eventually, eventually_async, free_address, within};

/// A counter of spans that were dropped for this reason.
async fn dropped(plugd: &Plugd, reason: &str) -> u64 {
    let answer = plugd.rest().get("/metrics").await;
    let text = String::from_utf8(answer.bytes).unwrap();
    let series = format!("plugd_trace_spans_dropped_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
}

/// Waits until spans were dropped for this reason.
async fn some_dropped(plugd: &Plugd, reason: &str) {
    eventually_async("a span that is dropped", async || (dropped(plugd, reason).await > 0).then_some(())).await;
}

#[tokio::test]
async fn a_collector_that_keeps_silent_delays_no_call_and_not_the_end_and_what_it_misses_is_counted() {
    // Connections are taken by the kernel, and nobody says anything on them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let collector = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        // Longer than anything here may take.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
    ];
    let begun = Instant::now();
    let mut plugd = Plugd::with(&[QUICK, &collector].concat()).await;
    let id = plugd.api().run(&["tame"]).await;
    for _ in 0..50 {
        plugd.api().get(&id).await.unwrap();
    }

    some_dropped(&plugd, "queue_full").await;

    let lines = || plugd.said().lines().filter(|line| line.contains("spans of traces were dropped")).count() as u64;
    let told = eventually("a line about it", || Some(lines()).filter(|lines| *lines > 0)).await;
    assert!((1..=1 + begun.elapsed().as_secs() / 60).contains(&told), "{told} in {:?}", begun.elapsed());
    let (status, _) = within("the end", plugd.sigterm()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_collector_that_is_away_delays_no_call_and_what_it_misses_is_counted() {
    let endpoint = format!("http://{}", free_address());
    let collector = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let mut plugd = Plugd::with(&[QUICK, &collector].concat()).await;
    plugd.api().run(&["tame"]).await;
    some_dropped(&plugd, "not_sent").await;
    let is_told = || plugd.said().contains("spans of traces were dropped").then_some(());
    eventually("a line about it", is_told).await;
    let (status, _) = within("the end", plugd.sigterm()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn an_encrypted_collector_is_told_by_a_plugd_that_knows_it_and_that_it_knows_and_by_no_other() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let mut collector = Collector::encrypted(&certificates).await;
    let [ours, certificate, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let theirs = others.path("ca.pem");
    let own = [("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*certificate), ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key)];
    let named = async |name: &str, authority: &str, own: &[(&str, &str)]| {
        let knobs = [("OTEL_SERVICE_NAME", name), ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority)];
        let plugd = Plugd::with(&[QUICK, &collector.settings(), &knobs, own].concat()).await;
        plugd.api().list().await.unwrap();
        plugd
    };
    some_dropped(&named("does not know it", &theirs, &own).await, "not_sent").await;
    some_dropped(&named("is not known to it", &ours, &[]).await, "not_sent").await;
    let _plugd = named("is known to it", &ours, &own).await;
    assert_eq!(collector.find(|_| true).await.service, "is known to it");
}
