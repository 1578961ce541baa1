//! The pages of `docs` say what works: their commands are run, from the first to the last, in a folder of their own (`harness::guide`).

use std::fs;

use crate::harness::{Collector, Proxy, ProxyKind, Reader, Server, follow, follow_as, free_address, repository};

#[tokio::test]
async fn install() {
    follow("install.md", &[]).await;
}

#[tokio::test]
async fn backup() {
    follow("backup.md", &[]).await;
}

#[tokio::test]
async fn upgrade() {
    follow("upgrade.md", &[]).await;
}

#[tokio::test]
async fn webhooks() {
    follow("webhooks.md", &[]).await;
}

#[tokio::test]
async fn postgresql() {
    let server = Server::shared();
    let (first, second) = (server.database().await, server.database().await);
    follow("postgresql.md", &[("DATABASE", &first.url()), ("OTHER_DATABASE", &second.url())]).await;
}

#[tokio::test]
async fn cluster() {
    let database = Server::shared().database().await;
    follow("cluster.md", &[("DATABASE", &database.url())]).await;
}

#[tokio::test]
async fn certificates() {
    follow("certificates.md", &[]).await;
}

#[tokio::test]
async fn prometheus() {
    follow("prometheus.md", &[("METRICS", &free_address().to_string())]).await;
}

#[tokio::test]
async fn reverse_proxy() {
    let reader = Reader::new();
    for kind in [ProxyKind::Nginx, ProxyKind::Caddy] {
        let proxy = Proxy::start(kind, reader.address, &[]).await;
        let variables = [("PROXY", proxy.url.as_str()), ("PLUGD_CACERT", &proxy.authority())];
        follow_as(&reader, "reverse-proxy.md", &variables).await;
    }
}

#[tokio::test]
async fn traces() {
    let mut collector = Collector::start().await;
    follow("traces.md", &collector.settings()).await;
    collector.find(|span| span.trace == "4bf92f3577b34da6a3ce929d0e0e4736" && span.name == "GET /api/plugins").await;
}

/// The page of which lines are left that need what no test has: a registry of images, and pods of a Deployment.
const IN_PART: &str = "kubernetes";

/// What does the lines for root: `follow PAGE`, or `follow PAGE 'HEADING'`.
const FOR_ROOT: [&str; 3] = ["packaging/test-deb.sh", "packaging/test-install.sh", "packaging/test-image.sh"];

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The names of the pages, with what they say.
fn pages() -> Vec<(String, String)> {
    let names =
        fs::read_dir(repository("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".md"));
    pages.map(|name| (name.clone(), read(&format!("docs/{name}")))).collect()
}

#[test]
fn every_page_is_followed() {
    let tests = ["tests/docs.rs", "tests/kubernetes/page.rs"].map(read).concat();
    for (name, page) in pages() {
        assert!(tests.contains(&format!("\"{name}\"")), "nobody follows docs/{name}");
        let in_part = name.strip_suffix(".md") == Some(IN_PART);
        assert!(in_part || !page.contains("```sh\n"), "docs/{name} has commands that nobody follows");
    }
}

/// The headings of sections with commands for root.
fn for_root(page: &str) -> Vec<&str> {
    let (mut headings, mut heading, mut is_in) = (Vec::new(), "", false);
    for line in page.lines() {
        match line.split_once(' ') {
            Some(("#", _)) if is_in => headings.push(heading),
            Some(("##", text)) => heading = text,
            _ => is_in = line == "```console" || (is_in && line != "```"),
        }
    }
    headings.dedup();
    headings
}

#[test]
fn every_command_for_root_is_followed_too() {
    let scripts = FOR_ROOT.map(read).concat();
    for (name, page) in pages() {
        for heading in for_root(&page) {
            let follows = [format!("follow {name}"), format!("follow {name} '{heading}'")];
            let is_followed = scripts.lines().any(|line| follows.contains(&line.to_owned()));
            assert!(is_followed, "nobody follows docs/{name}, {heading:?}");
        }
    }
}

#[test]
fn the_headings_of_what_root_does_are_found() {
    let page = "# title\n## b\n## a\n```console\n# apt-get install x\n$ a\n# c \\\n    d\n```\n## c\n```sh\n# e\n```\n";
    assert_eq!(for_root(page), ["a"]);
}
