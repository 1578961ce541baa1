//! The REST API does what its OpenAPI document says: nothing that it names fails, and nothing happens that it does not
//! name.

mod generated;

use std::fs;

use plugd::api::v1::Role;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Answer, Body, Plugd, Rest, Run, chaos_manifest, external_manifest, python, repository};

const ONLY_DOCUMENTED: &str = include_str!("schemathesis.toml");

/// Requests made up for each operation, beside those that cover its parameters and bodies one by one.
const EXAMPLES: &str = "5";

/// An id that no plugin has.
const NOBODY: &str = "9m4e2mr0ui3e8a215n4g";

/// Schemathesis, as the administrator.
fn schemathesis(plugd: &Plugd, supervised: &str, external: &str) -> Command {
    let config = plugd.scratch().join("schemathesis.toml");
    let dictionaries = format!(
        "\n[dictionaries]\nplugins.values = [{supervised:?}, {external:?}]\nsupervised.values = [{supervised:?}]\n\
         external.values = [{external:?}]\nnobody.values = [{NOBODY:?}]\n"
    );
    fs::write(&config, [ONLY_DOCUMENTED, &dictionaries].concat()).unwrap();
    let mut command = python(".venv/bin/schemathesis", &["--config-file"]);
    command.arg(config).args(["run", &format!("{}/api/openapi.json", plugd.url())]);
    command.args(["--header", &format!("Authorization: Bearer {}", plugd.token())]);
    command.args(["--max-examples", EXAMPLES, "--no-color"]).current_dir(plugd.scratch());
    command.env("SCHEMATHESIS_HOOKS", repository("tests/openapi/hooks.py"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PLUGD_MANIFEST", chaos_manifest(&["tame"]).to_string());
    command
}

#[tokio::test]
async fn every_answer_is_one_that_the_document_names() {
    let plugd = Plugd::start().await;
    let supervised = plugd.api().run(&["tame"]).await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap().id;

    let output = schemathesis(&plugd, &supervised, &external).run_at_length().await;

    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", output.stderr);
    assert_eq!(plugd.rest().get(&format!("/api/plugins/{supervised}")).await.status, 200, "it is still there");
}

/// An operation of the document, and whether it needs a credential.
struct Operation {
    method: String,
    path: String,
    is_public: bool,
}

impl Operation {
    /// The answer to it with an empty body. A stream is not read to its end.
    async fn ask(&self, rest: &Rest, id: &str) -> Answer {
        let path = self.path.replace("{plugin_instance_id}", id);
        rest.send(&self.method, &path, Body::None, &[]).await
    }

    fn is_stream(&self) -> bool {
        self.path.ends_with("/watch") || self.path.ends_with("/logs")
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

async fn operations(plugd: &Plugd) -> Vec<Operation> {
    let document = plugd.rest_as(None).get("/api/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let of = |(method, operation): (&String, &Value)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            is_public: operation["security"] == json!([]),
        };
        methods.as_object().unwrap().iter().map(of).collect::<Vec<_>>()
    });
    operations.collect()
}

#[tokio::test]
async fn without_a_credential_only_what_is_public_is_answered() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let stranger = plugd.rest_as(None);
    for operation in operations(&plugd).await {
        let answer = operation.ask(&stranger, &id).await;
        let expected = if operation.is_public { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{}", operation.name());
        if !operation.is_public {
            let suggested = answer.problem(401)["suggested"].as_str().unwrap().to_owned();
            assert!(suggested.contains("admin.token"), "it says where the first token is: {suggested}");
        }
    }
    assert_eq!(plugd.api().list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_viewer_reads_everything_and_writes_nothing() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (_, token) = plugd.api().create_token("viewer", Role::Viewer).await;
    let viewer = plugd.rest_as(Some(&token));
    for operation in operations(&plugd).await.iter().filter(|operation| !operation.is_stream()) {
        let status = operation.ask(&viewer, &id).await.status;
        let expected = if operation.method == "GET" { 200 } else { 403 };
        assert_eq!(status, expected, "{}", operation.name());
    }
    assert_eq!(plugd.api().list().await.unwrap().len(), 1);
}
