//! Several plugd on one database: the nodes of a cluster.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use plugd::api::v1::GetServerRequest;
use serde_json::json;
use tempfile::TempDir;

use super::{
    Api, Knobs, OneDatabase, Plugd, QUICK, Server,
    beats::{Beats, since_boot},
    package::{chaos_manifest, zipped},
    wait::{eventually, eventually_async, within},
};

/// The secret that the nodes know each other by.
const TOKEN: &str = "a-secret-of-the-cluster-of-32-characters-or-more";

/// What a plugin does first: it takes a lock that all that a run starts holds for as long as it lives, and says so where
/// somebody has it already, on whatever node. Then it writes every 10 ms that it lives.
const SCRIPT: &str =
    "#!/bin/sh\nexec 9>>\"$1/lock\"\nflock -n 9 || echo $$ >>\"$1/twice\"\nexec chaos beat \"$1/beats\"\n";

/// Nodes on one database, which is a server's own or one of many.
pub(crate) struct Cluster {
    /// Some may have been killed.
    pub(crate) nodes: Vec<Plugd>,
    folder: TempDir,
    beats: Mutex<Beats>,
}

impl Cluster {
    /// As many nodes on a database of their own. The first leads.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::on(&Server::shared().database().await, nodes).await
    }

    /// The same on this database.
    pub(crate) async fn on(database: &OneDatabase, nodes: usize) -> Self {
        Self::over(&vec![database.url(); nodes]).await
    }

    /// A node on each of these addresses, which are of one database.
    pub(crate) async fn over(urls: &[String]) -> Self {
        Self::with(urls, &[]).await
    }

    /// The same with these settings besides.
    pub(crate) async fn with(urls: &[String], knobs: Knobs<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        let beats = Mutex::new(Beats::of(folder.path().join("beats")));
        let mut cluster = Self { nodes: Vec::new(), folder, beats };
        for url in urls {
            let node = cluster.another(url, knobs).await;
            cluster.nodes.push(node);
        }
        cluster
    }

    async fn another(&self, url: &str, knobs: Knobs<'_>) -> Plugd {
        let token = self.folder.path().join("token");
        let of_cluster = [
            ("PLUGD_DATABASE_URL", url),
            ("PLUGD_CLUSTER_TOKEN_FILE", token.to_str().unwrap()),
            ("PLUGD_SANDBOX_WRITE", self.folder.path().to_str().unwrap()),
        ];
        let administrator = self.nodes.first().map_or("", Plugd::token);
        Plugd::node(&[knobs, QUICK, &of_cluster].concat(), administrator).await
    }

    /// The administrator's client of a node.
    pub(crate) fn api(&self, node: usize) -> Api {
        self.nodes[node].api()
    }

    /// Which node leads, of these; none when none says so.
    pub(crate) async fn leader_among(&self, nodes: &[usize]) -> Option<usize> {
        for node in nodes {
            if role(&self.nodes[*node]).await.is_some_and(|role| role.starts_with("this node leads")) {
                return Some(*node);
            }
        }
        None
    }

    /// Waits until one of these leads.
    pub(crate) async fn led_by_one_of(&self, nodes: &[usize]) -> usize {
        eventually_async("another leader", async || self.leader_among(nodes).await).await
    }

    /// Installs a plugin that notices whether anything of another run of its own lives, on whatever node; has it active.
    pub(crate) async fn run_lone(&self, leader: usize) -> String {
        let mut manifest = chaos_manifest(&[self.folder.path().to_str().unwrap()]);
        manifest["command"] = json!("./lone.sh");
        let manifest = manifest.to_string();
        let package = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("lone.sh", SCRIPT.as_bytes(), 0o755)]);
        let id = self.api(leader).upload(package).await.unwrap().id;
        self.api(leader).activate(&id).await.unwrap();
        id
    }

    /// Waits until the plugin shows that it runs. No run of it has begun while anything of another lived, and none has shown
    /// itself once another had begun.
    pub(crate) async fn runs_alone(&self) {
        let now = since_boot();
        let goes_on = || self.beats.lock().unwrap().go_on_after(now).then_some(());
        eventually("a run that shows that it lives", goes_on).await;
        let twice = fs::read_to_string(self.folder.path().join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "processes that were not alone");
        assert_eq!(self.beats.lock().unwrap().at_once(), None, "two runs lived at once");
    }
}

/// What a node says of its part in the cluster; nothing where it can't be asked.
pub(crate) async fn role(node: &Plugd) -> Option<String> {
    let answer = within("what a node is", node.api().about().get_server(GetServerRequest {})).await.ok()?;
    let part = answer.into_inner().parts.into_iter().find(|part| part.name == "cluster");
    Some(part.expect("a node says what it is").found)
}

/// An address of the loopback that nobody listens on, and that nobody is given who asks for any.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let own = u16::try_from(std::process::id() % 100).unwrap() * 100;
        let port = 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
