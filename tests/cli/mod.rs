//! The command line against a real server: every command and what its flags do. What its output looks like in detail is
//! held by unit tests in `src/cli`.

mod access;
mod applying;
mod configuration;
mod declared;
mod external;
mod failures;
mod folders;
mod life;
mod messages;
mod packages;
mod policy;
mod shell;
mod templates;
mod watching;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::harness::{Output, Plugd, Run, chaos, chaos_manifest, cli, program, search_path};

async fn run(plugd: &Plugd, args: &[&str]) -> Output {
    cli(plugd, args).run().await
}

async fn json_of(plugd: &Plugd, args: &[&str]) -> Value {
    run(plugd, &[args, &["-o", "json"]].concat()).await.json()
}

/// The command line without a server, in this folder.
async fn alone(folder: &Path, args: &[&str]) -> Output {
    program(env!("CARGO_BIN_EXE_plugd")).args(args).current_dir(folder).env("PATH", search_path()).run().await
}

/// The error of a command with `-o json` that must fail.
#[track_caller]
fn error_of(output: &Output) -> Value {
    assert!(!output.status.success(), "{output:?}");
    let line = output.stderr.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {output:?}"));
    assert_eq!(error["error"]["exit_code"], json!(output.code()));
    error["error"].clone()
}

/// A folder of the example `chaos` in this version.
fn chaos_folder(parent: &Path, version: &str) -> PathBuf {
    let folder = parent.join(format!("chaos-{version}"));
    fs::create_dir(&folder).unwrap();
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["version"] = version.into();
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    folder
}

/// Writes the example `chaos` as a package; returns its path.
fn chaos_file(folder: &Path, args: &[&str]) -> String {
    let path = folder.join("chaos-example.zip");
    fs::write(&path, chaos(args)).unwrap();
    path.to_str().unwrap().to_owned()
}
