//! plugd as the first process of a container: what loses its parent there comes to it.

use std::fs;

use rustix::process::geteuid;
use serde_json::json;

use crate::harness::{CONTAINER, Plugd, QUICK, Run, chaos_manifest, children, eventually, program, zipped};

/// Whether this host lets somebody make a container.
async fn is_possible() -> bool {
    let is_possible =
        geteuid().is_root() && program("unshare").args(CONTAINER).arg("true").run().await.status.success();
    if !is_possible {
        eprintln!("skipped: this host lets this user make no process namespace");
    }
    is_possible
}

/// A process and all that came from it, those that have ended and were not reaped too.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// A plugin that first leaves behind a process, which lives for a moment and then is nobody's.
fn orphaning() -> Vec<u8> {
    const SCRIPT: &str = "#!/bin/sh\nsetsid sh -c 'sleep 0.1 & exit 0'\nexec chaos tame\n";
    let mut manifest = chaos_manifest(&[]);
    manifest["command"] = json!("./run.sh");
    let manifest = manifest.to_string();
    zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("run.sh", SCRIPT.as_bytes(), 0o755)])
}

#[tokio::test]
async fn orphans_of_a_plugin_are_reaped_while_it_runs() {
    if !is_possible().await {
        return;
    }
    for sandbox in ["off", "protect"] {
        let plugd = Plugd::in_container(&[QUICK, &[("PLUGD_SANDBOX", sandbox)]].concat()).await;
        let api = plugd.api();
        let id = api.upload(orphaning()).await.unwrap().id;
        api.activate(&id).await.unwrap();
        let first = children(plugd.pid())[0];
        let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        assert_eq!(ids.split_whitespace().last(), Some("1"), "it is the first: {ids}");
        // plugd, the keeper's two processes, the init, the plugin; and for plugins that are shut in an init that is kept.
        let expected = if sandbox == "off" { 5 } else { 6 };
        eventually("nobody but those that do something", || (family(first).len() == expected).then_some(())).await;
    }
}

#[tokio::test]
async fn what_is_run_in_its_container_is_reaped_by_it() {
    if !is_possible().await {
        return;
    }
    let plugd = Plugd::in_container(QUICK).await;
    let first = children(plugd.pid())[0];
    let enter = ["--target", &first.to_string(), "--pid", "sh", "-c", "sleep 0.1 & exit 0"];
    assert!(program("nsenter").args(enter).run().await.status.success());
    eventually("the orphan came and was reaped", || (children(first).len() == 1).then_some(())).await;
}

#[tokio::test]
async fn what_is_mounted_while_an_init_waits_is_seen_by_the_next_plugin() {
    if !is_possible().await {
        return;
    }
    let plugd = Plugd::in_container(&[QUICK, &[("PLUGD_SANDBOX", "protect")]].concat()).await;
    let api = plugd.api();
    let id = api.install(&["tame"]).await;
    api.activate(&id).await.unwrap();
    let first = children(plugd.pid())[0];
    // plugd, the keeper's two processes, the init, the plugin, and the init that is kept.
    eventually("another init is made", || (family(first).len() == 6).then_some(())).await;
    api.deactivate(&id).await.unwrap();
    let mount =
        ["--target", &first.to_string(), "--mount", "sh", "-c", "mount -t tmpfs none /mnt && touch /mnt/mounted"];
    assert!(program("nsenter").args(mount).run().await.status.success());
    api.activate(&id).await.unwrap();
    let plugin = family(first).into_iter().find(|pid| name(*pid) == "chaos").unwrap();
    assert!(fs::exists(format!("/proc/{plugin}/root/mnt/mounted")).unwrap());
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}
