//! What plugins use of the host, as GetPlugin, ListPlugins and the command line tell it.

use plugd::api::v1::{ListPluginsRequest, Plugin, Usage, WatchStateRequest};
use serde_json::json;

use crate::harness::{Api, Plugd, Run, cli, eventually_async, packaged, status_of};

/// Has 64 MiB, a hundred files and three processes beside itself, and keeps a processor busy.
const GREEDY: &str = "import subprocess
memory = bytearray(b'x') * (64 << 20)
files = [open('/dev/null') for _ in range(100)]
others = [subprocess.Popen(['sleep', '1000']) for _ in range(3)]
while True: pass";

async fn install(api: &Api, command: &str, args: &[&str]) -> String {
    let manifest = json!({
        "id": "greedy", "author": "tests", "name": "Greedy", "description": "", "version": "1.0.0",
        "command": command, "args": args,
    });
    api.upload(packaged(&manifest)).await.unwrap().id
}

/// Waits until what a plugin uses is like this.
async fn used(api: &Api, id: &str, is_so: impl Fn(&Usage) -> bool) -> Usage {
    eventually_async("what a plugin uses", async || usage_of(&api.get(id).await.unwrap()).filter(&is_so)).await
}

fn usage_of(plugin: &Plugin) -> Option<Usage> {
    status_of(plugin).usage.clone()
}

#[tokio::test]
async fn what_a_plugin_uses_is_seen_while_it_runs_and_by_no_watch() {
    let plugd = Plugd::with(&[("PLUGD_CONNECT_TIMEOUT", "10m")]).await;
    let api = plugd.api();
    let (greedy, modest) = (install(&api, "python3", &["-c", GREEDY]).await, api.run(&["tame"]).await);
    assert_eq!(usage_of(&api.get(&greedy).await.unwrap()), None, "nothing of it runs");
    api.begin(&greedy).await;

    let usage = used(&api, &greedy, |usage| usage.cpu_millis > Some(100) && usage.processes >= 4).await;
    assert_eq!(usage.processes, 4);
    assert!(usage.memory_bytes > 64 << 20, "{usage:?}");
    // The interpreter's own, and what the others have in common with it.
    assert!((100..160).contains(&usage.open_files()), "{usage:?}");
    assert!(usage.cpu_time.unwrap().seconds >= 1 && usage.cpu_millis() <= 1500, "{usage:?}");
    assert_eq!(usage.memory_history.last(), Some(&usage.memory_bytes));
    assert!(usage.memory_history.len() >= 2, "{usage:?}");
    let other = used(&api, &modest, |usage| usage.cpu_millis.is_some()).await;
    assert_eq!(other.processes, 1);
    assert!(other.memory_bytes < 64 << 20 && other.cpu_millis() < 100, "{other:?}");

    let listed = api.plugins().list_plugins(ListPluginsRequest::default()).await.unwrap().into_inner().plugins;
    assert!(listed.iter().all(|plugin| usage_of(plugin).is_some()), "{listed:?}");
    let listed = cli(&plugd, &["list", "--wide"]).run().await;
    let table = listed.text();
    assert!(table.contains("CPU") && table.contains(" MiB  4  "), "{table}");
    let told = cli(&plugd, &["get", &greedy, "-o", "json"]).run().await.json();
    assert_eq!(told["status"]["usage"]["processes"], 4, "{told}");

    let mut watch = api.watch(WatchStateRequest::default()).await.unwrap();
    assert!(watch.snapshot().await.iter().all(|plugin| usage_of(plugin).is_none()));
    let stopped = api.deactivate(&greedy).await.unwrap();
    assert_eq!(usage_of(&stopped), None);
    assert_eq!(usage_of(&api.get(&greedy).await.unwrap()), None, "nothing of it is left");
    assert!(usage_of(&api.get(&modest).await.unwrap()).is_some());
}
