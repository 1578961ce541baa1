//! A real Prometheus that scrapes a real plugd: the dashboard's queries and the alerts have answers there.

use std::fs;

use plugd::api::v1::{PublishEventRequest, ReportedState};
use serde_json::Value;

use crate::harness::{
    Api, Certificates, Knobs, Plugd, Prometheus, QUICK, Receiver, Run, Server, chaos_manifest, cli, eventually_async,
    free_address, packaged, repository, state_of,
};

/// An encrypted plugd with these settings and its certificates. Its plugins are pinged often, and have a limit; its collector of
/// traces is away.
async fn measured(also: Knobs<'_>) -> (Plugd, Api, Certificates) {
    let certificates = Certificates::new();
    let [server, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.path(name));
    let nobody = format!("http://{}", free_address());
    let knobs = [
        QUICK,
        &[
            ("PLUGD_TLS_CERT", &server),
            ("PLUGD_TLS_KEY", &key),
            ("PLUGD_PING_INTERVAL", "100ms"),
            ("PLUGD_CONNECT_TIMEOUT", "10m"),
            ("PLUGD_LIMIT_MEMORY", "8GiB"),
            ("PLUGD_FETCH_PRIVATE", "true"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ],
        also,
    ];
    let plugd = Plugd::encrypted(&knobs.concat(), &["--cacert".to_owned(), ca]).await;
    let api = Api::over(certificates.endpoint(&plugd.url()), Some(plugd.token()));
    (plugd, api, certificates)
}

/// Installs a plugin of this name that behaves so; returns its id.
async fn install(api: &Api, name: &str, args: &[&str]) -> String {
    let mut manifest = chaos_manifest(args);
    manifest["name"] = name.into();
    api.upload(packaged(&manifest)).await.unwrap().id
}

/// Installs one that fails until it is not tried again.
async fn fail(api: &Api, name: &str) -> String {
    let id = install(api, name, &["exit", "3"]).await;
    api.begin(&id).await;
    let is_failed = async || (state_of(&api.get(&id).await.unwrap()) == ReportedState::Error).then_some(());
    eventually_async("its error", is_failed).await;
    id
}

/// What the dashboard asks for, with the title of the panel.
fn queries() -> Vec<(String, String)> {
    let text = fs::read_to_string(repository("packaging/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        panel["targets"].as_array().into_iter().flatten().map(move |target| {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            (title.to_owned(), target["expr"].as_str().unwrap().to_owned())
        })
    });
    // label_values(SERIES, LABEL)
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().filter_map(|variable| {
        let values = variable["definition"].as_str()?.strip_prefix("label_values(")?.strip_suffix(')')?;
        let (series, label) = values.rsplit_once(", ").unwrap();
        Some((variable["name"].as_str().unwrap().to_owned(), format!("count by ({label}) ({series})")))
    });
    let all: Vec<_> = panels.chain(variables).collect();
    assert!(all.len() > 50, "{all:?}");
    let filled =
        |text: &str| text.replace("$instance", ".*").replace("$plugin", ".*").replace("$__rate_interval", "5m");
    all.into_iter().map(|(title, query)| (title, filled(&query))).collect()
}

/// The numbers of samples.
fn numbers(samples: &[Value]) -> Vec<f64> {
    samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn every_query_of_the_dashboard_has_an_answer_in_prometheus() {
    // The only node of a cluster, which nobody has to reach.
    let (database, folder) = (Server::shared().database().await, tempfile::tempdir().unwrap());
    let token = folder.path().join("token");
    fs::write(&token, "a-secret-of-the-cluster-of-32-characters-or-more").unwrap();
    let of_cluster = [
        ("PLUGD_DATABASE_URL", &*database.url()),
        ("PLUGD_ADVERTISE", "https://localhost:1"),
        ("PLUGD_CLUSTER_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let (plugd, api, certificates) = measured(&of_cluster).await;
    let mut watch = api.live().await;
    let watching = tokio::spawn(async move { while watch.event().await.is_ok() {} });
    let (receiver, ca) = (Receiver::start().await, certificates.path("ca.pem"));
    let hook = ["hook", "add", &receiver.url(), "--on", "error,active", "--cacert", &ca];
    cli(&plugd, &hook).run().await.text();
    install(&api, "asking", &["ask", "get_config"]).await;
    let ids: Vec<_> = api.list().await.unwrap().into_iter().map(|plugin| plugin.id).collect();
    api.activate(&ids[0]).await.unwrap();
    fail(&api, "failed").await;
    let looping = install(&api, "looping", &["crash-after", "20"]).await;
    let unlimited = ["policy", "set", &looping, "max-restart-attempts=unlimited", "--cacert", &ca];
    cli(&plugd, &unlimited).run().await.text();
    api.begin(&looping).await;
    let waiting = install(&api, "waiting", &["hang"]).await;
    api.begin(&waiting).await;
    let deleted = fail(&api, "deleted").await;
    let prometheus = Prometheus::start(&plugd, &ca).await;
    let of_deleted = format!("plugd_plugin_state{{plugin_id=\"{deleted}\", state=\"error\"}} == 1");
    let sees = async |is_there| (prometheus.query(&of_deleted).await.is_empty() != is_there).then_some(());
    eventually_async("the plugin", || sees(true)).await;
    api.delete(&deleted).await.unwrap();
    eventually_async("its end", || sees(false)).await;

    for (title, query) in queries() {
        let look = async || {
            // Something happens all the time: good calls, refused ones, and those of plugins.
            let event = PublishEventRequest { name: "EventThreadPublished".to_owned(), payload: None };
            api.bus().publish_event(event).await.unwrap();
            api.get("nobody").await.unwrap_err();
            let numbers = numbers(&prometheus.query(&query).await);
            let wanted = match title.as_str() {
                "Plugins" => Some(4.0),
                "In error" => Some(1.0),
                _ => None,
            };
            let is_answer = |number: &f64| number.is_finite() && wanted.is_none_or(|wanted| wanted == *number);
            numbers.iter().any(is_answer).then_some(())
        };
        eventually_async(&format!("{title}: {query}"), look).await;
    }
    watching.abort();
}

#[tokio::test]
async fn an_alert_fires_for_a_plugin_that_crashes_again_and_again_and_for_no_other() {
    let (plugd, api, certificates) = measured(&[]).await;
    let tame = api.run(&["tame"]).await;
    let crashing = fail(&api, "crashing").await;
    let prometheus = Prometheus::start(&plugd, &certificates.path("ca.pem")).await;
    let fires = async || {
        let alerts = prometheus.alerts().await;
        assert!(alerts.iter().all(|alert| alert["labels"]["plugin_id"] != *tame), "{alerts:?}");
        let of_it = alerts.into_iter().find(|alert| {
            let labels = &alert["labels"];
            labels["alertname"] == "PlugdPluginCrashLoop"
                && labels["plugin_id"] == *crashing
                && alert["state"] == "firing"
        })?;
        Some(of_it["annotations"]["summary"].clone())
    };
    let told = eventually_async("the alert", fires).await;
    assert_eq!(told, format!("Plugin {crashing} fails again and again"));
}
