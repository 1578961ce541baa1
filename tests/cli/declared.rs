//! What `plan`, `apply` and `export` stand on: files of plugins, and what a server has.

use std::fs;

use serde_json::{Value, json};

use super::json_of;
use crate::harness::{Output, Plugd, Run, chaos_manifest, cli};

/// Writes the folder of a plugin that runs the example `chaos` so.
pub(super) fn write_plugin(plugd: &Plugd, id: &str, version: &str, args: &[&str]) {
    let mut manifest = chaos_manifest(args);
    (manifest["id"], manifest["version"]) = (id.into(), version.into());
    let folder = plugd.scratch().join(id);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

/// Writes a file; returns its path.
pub(super) fn write_file(plugd: &Plugd, name: &str, text: &str) -> String {
    let path = plugd.scratch().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// `plugd apply --yes` of a file.
pub(super) async fn apply(plugd: &Plugd, file: &str, more: &[&str]) -> Output {
    cli(plugd, &[&["apply", "-f", file, "--yes"], more].concat()).env("SECRET", "hunter2").run().await
}

/// `plugd plan` of a file.
pub(super) async fn plan(plugd: &Plugd, file: &str, more: &[&str]) -> Output {
    cli(plugd, &[&["plan", "-f", file], more].concat()).env("SECRET", "hunter2").run().await
}

/// What is desired of each plugin, in the order of installation.
pub(super) async fn desired(plugd: &Plugd) -> Vec<Value> {
    let plugins = json_of(plugd, &["list"]).await;
    let desired = |plugin: &Value| {
        json!({
            "id": plugin["manifest"]["id"], "active": plugin["active_state"], "version": plugin["version"],
            "digest": plugin["package_digest"], "generation": plugin["generation"],
        })
    };
    plugins.as_array().unwrap().iter().map(desired).collect()
}
