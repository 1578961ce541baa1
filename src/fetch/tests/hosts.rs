//! Whom plugd asks, and whom it believes.

use std::{net::IpAddr, sync::Arc};

use super::{
    super::{Options, fetch},
    world::{CERTIFIED, LOOPBACK, Names, Server, fetch_by_name, in_time, nearby},
};
use crate::domain::Reason;

const PACKAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nzip";
const PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8));
const METADATA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 169, 254));

#[tokio::test]
async fn no_spelling_of_this_machine_is_asked() {
    let server = Server::saying(|_| PACKAGE.to_owned()).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "localhost",
        "LocalHost.",
        "plugins.localhost",
        "0.0.0.0",
        "[::]",
    ] {
        let url = format!("http://{host}:{}/", server.port);
        let error = in_time(fetch(&url, &Options::default())).await.unwrap_err();
        assert_eq!(error.reason, Reason::FetchFailed, "{host}");
        assert!(error.message.contains("and only public addresses are asked"), "{error}");
        let can_be_allowed = !matches!(host, "0.0.0.0" | "[::]" | "[2002:7f00:1::]");
        assert_eq!(error.message.contains("--fetch-private"), can_be_allowed, "{error}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn localhost_is_refused_without_asking_for_it() {
    let names = Arc::<Names>::default().with("localhost", &[&[PUBLIC]]);
    fetch_by_name("http://localhost/", &names, &Options::default()).await.unwrap_err();
    assert_eq!(names.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn one_private_address_among_public_ones_is_refused_and_not_named() {
    let server = Server::saying(|_| PACKAGE.to_owned()).await;
    for addresses in [[PUBLIC, LOOPBACK], [LOOPBACK, PUBLIC]] {
        let names = Arc::<Names>::default().with("mixed.test", &[&addresses]);
        let url = format!("http://mixed.test:{}/", server.port);
        let error = fetch_by_name(&url, &names, &Options::default()).await.unwrap_err();
        assert!(error.message.contains("the host \"mixed.test\" has a loopback address"), "{error}");
        assert!(!error.message.contains("127.0.0.1"), "{error}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_name_is_resolved_once_for_each_request() {
    let server = Server::saying(|path| match path {
        "/" => "HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n".to_owned(),
        _ => PACKAGE.to_owned(),
    })
    .await;
    let names = Arc::<Names>::default().with("once.test", &[&[LOOPBACK], &[LOOPBACK], &[METADATA]]);
    let url = format!("http://once.test:{}/", server.port);
    assert_eq!(fetch_by_name(&url, &names, &nearby()).await.unwrap(), "zip");
    assert_eq!(*names.asked.lock().unwrap(), ["once.test", "once.test"]);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_between_redirects_is_vetted_again() {
    let server = Server::saying(|_| "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n".to_owned()).await;
    let names = Arc::<Names>::default().with("rebind.test", &[&[LOOPBACK], &[METADATA]]);
    let url = format!("http://rebind.test:{}/", server.port);
    let error = fetch_by_name(&url, &names, &nearby()).await.unwrap_err();
    assert!(error.message.contains("a link-local address"), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn the_next_address_is_dialled_if_one_does_not_answer() {
    let server = Server::saying(|_| PACKAGE.to_owned()).await;
    let names = Arc::<Names>::default().with("two.test", &[&["127.0.0.2".parse().unwrap(), LOOPBACK]]);
    let url = format!("http://two.test:{}/", server.port);
    assert_eq!(fetch_by_name(&url, &names, &nearby()).await.unwrap(), "zip");
}

#[tokio::test]
async fn who_is_not_there_is_an_error() {
    let server = Server::saying(|_| PACKAGE.to_owned()).await;
    let names = Arc::<Names>::default().with("none.test", &[&[]]).with("dead.test", &[&["127.0.0.2".parse().unwrap()]]);
    for (host, why) in [
        ("unknown.test", "the host \"unknown.test\" was not found: no such name"),
        ("none.test", "no connection to \"none.test\": address not available"),
        ("dead.test", "no connection to \"dead.test\": Connection refused (os error 111)"),
    ] {
        let error = fetch_by_name(&format!("http://{host}:{}/", server.port), &names, &nearby()).await.unwrap_err();
        assert_eq!(error.reason, Reason::FetchFailed);
        assert!(error.message.ends_with(why), "{error}");
    }
}

#[tokio::test]
async fn https_is_spoken_with_who_has_the_hosts_certificate() {
    let server = Server::saying_secretly(|_| PACKAGE.to_owned()).await;
    let names = Arc::<Names>::default().with(CERTIFIED, &[&[LOOPBACK], &[LOOPBACK]]).with("other.test", &[&[LOOPBACK]]);
    for host in [CERTIFIED, "plugins.test."] {
        let url = format!("https://{host}:{}/", server.port);
        assert_eq!(fetch_by_name(&url, &names, &nearby()).await.unwrap(), "zip");
    }
    let error = fetch_by_name(&format!("https://other.test:{}/", server.port), &names, &nearby()).await.unwrap_err();
    assert!(error.message.contains("not valid for name"), "{error}");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_certificate_that_browsers_do_not_believe_is_refused() {
    let server = Server::saying_secretly(|_| PACKAGE.to_owned()).await;
    let error = in_time(fetch(&format!("https://127.0.0.1:{}/", server.port), &nearby())).await.unwrap_err();
    assert!(error.message.contains("no encrypted connection to \"127.0.0.1\": invalid peer certificate"), "{error}");
    assert_eq!(server.requests(), 0);
}
