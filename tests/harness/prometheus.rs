//! A Prometheus that scrapes a plugd, as `docs/prometheus.md` has it but quicker.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Body, Plugd, Rest, Running,
    command::{program, repository},
    pages::shown,
};

/// A server with a folder of its own. It ends when it is dropped.
pub(crate) struct Prometheus {
    _folder: TempDir,
    _server: Running,
    rest: Rest,
}

impl Prometheus {
    /// Scrapes this encrypted plugd, whose certificate that authority vouches for, several times a second, and tries plugd's
    /// alerts as often.
    pub(crate) async fn start(plugd: &Plugd, authority: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("plugd-prometheus-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("plugd.token"), plugd.token()).unwrap();
        let alerts = repository("packaging/alerts.yml");
        let shown = shown(
            "prometheus.md",
            "yaml",
            &[
                ("/etc/prometheus/plugd-alerts.yml", alerts.to_str().unwrap()),
                ("/etc/prometheus/plugd.token", &at("plugd.token")),
                ("127.0.0.1:8000", &plugd.address().to_string()),
                ("# scheme", "scheme"),
                ("# tls_config", "tls_config"),
                ("/etc/prometheus/plugd.pem", authority),
            ],
        );
        let often = "global: { scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms }\n";
        fs::write(at("prometheus.yml"), format!("{often}{shown}")).unwrap();
        let mut command = program("prometheus");
        command.args(["--web.listen-address=127.0.0.1:0", &format!("--config.file={}", at("prometheus.yml"))]);
        command.arg(format!("--storage.tsdb.path={}", at("data")));
        let mut server = Running::start_reading_stderr(&mut command);
        let said = server.find("msg=\"Listening on\"").await;
        let address = said.split("address=").last().unwrap().trim().to_owned();
        server.find("msg=\"Server is ready").await;
        // It says little more, and goes on if nobody reads that.
        Self { _folder: folder, _server: server, rest: Rest::new(format!("http://{address}"), None) }
    }

    /// The samples that an expression has now; fails if it is none.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let answer =
            self.rest.post("/api/v1/query", Body::Form(vec![("query", expression.to_owned())])).await.expect(200);
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}")).clone()
    }

    /// The alerts that are pending or fire.
    pub(crate) async fn alerts(&self) -> Vec<Value> {
        self.rest.get("/api/v1/alerts").await.expect(200)["data"]["alerts"].as_array().unwrap().clone()
    }
}
