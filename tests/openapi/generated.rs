//! A client that is generated from the document works, with a type for every answer.

use std::fs;

use crate::harness::{Plugd, Run, chaos, python, repository};

/// Makes a client of the document that this plugd serves. Anything that the generator has to leave out fails the test.
async fn generate(plugd: &Plugd) {
    let config = repository("tests/openapi/generator.yaml");
    let package = plugd.scratch().join("plugd_client");
    let mut command = python(".venv/bin/openapi-python-client", &["generate", "--fail-on-warning", "--meta", "none"]);
    command.args(["--url", &format!("{}/api/openapi.json", plugd.url())]);
    command.arg("--config").arg(config).arg("--output-path").arg(package);
    command.run().await.text();
}

#[tokio::test]
async fn a_generated_client_drives_a_plugins_whole_life() {
    let plugd = Plugd::start().await;
    generate(&plugd).await;
    let archives = [("good.zip", chaos(&["tame"])), ("bad.zip", chaos(&["exit", "42"]))];
    let archives = archives.map(|(name, archive)| {
        let path = plugd.scratch().join(name);
        fs::write(&path, archive).unwrap();
        path
    });

    let mut script = python("tests/openapi/client.py", &[&plugd.url(), plugd.token()]);
    let output = script.args(archives).env("PYTHONPATH", plugd.scratch()).run().await;

    assert!(output.text().ends_with("it works\n"), "{output:?}");
}
