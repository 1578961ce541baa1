use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use super::{Rules, Target, check, vetted};
use crate::outbound::tests::world::{LOOPBACK, Names};

const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

fn mk_target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

#[test]
fn an_address_must_be_of_http_and_have_a_host_and_no_user() {
    let cases = [
        ("plugin.zip", "relative URL"),
        ("//host/plugin.zip", "relative URL"),
        ("http://", "empty host"),
        ("https:///", "empty host"),
        ("http://[::1/", "invalid IPv6"),
        ("http://1.2.3.4.5/", "invalid IPv4"),
        ("http://host:99999/", "invalid port"),
        ("ftp://host/plugin.zip", "\"ftp\" is neither http nor https"),
        ("file:///etc/passwd", "\"file\" is neither http nor https"),
        ("unix:/run/docker.sock", "\"unix\" is neither http nor https"),
        ("data:application/zip;base64,UEs=", "\"data\" is neither http nor https"),
        ("https://user@host/", "must not have a user"),
        ("https://me:secret@host:99999/", "invalid port"),
        ("https://:secret@host/", "must not have a user"),
        ("https://github.com@127.0.0.1/", "must not have a user"),
    ];
    for (url, why) in cases {
        let error = Target::parse(url).unwrap_err();
        assert!(error.0.contains(why), "{url}: {error}");
        assert!(!error.0.contains("secret"), "{error}");
    }
}

#[test]
fn numbers_that_mean_an_address_are_one() {
    for url in ["http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://127.0.0.1./"] {
        assert_eq!(mk_target(url).literal(), Some([127, 0, 0, 1].into()), "{url}");
    }
}

#[test]
fn names_are_lower_case_ascii_without_the_last_dot() {
    for url in ["http://LOCALHOST/", "http://localhost./", "http://ｌｏｃａｌｈｏｓｔ/", "http://%6cocalhost/"]
    {
        assert_eq!(mk_target(url).name(), Some("localhost"), "{url}");
    }
}

#[test]
fn the_request_names_the_port_only_if_it_is_unusual() {
    let https = mk_target("https://host:443/a%20b/plugin.zip?x=1#part");
    assert_eq!((https.authority(), https.path(), https.port()), ("host", "/a%20b/plugin.zip?x=1", 443));
    let http = mk_target("http://[2606:4700::1]:8080");
    assert_eq!((http.authority(), http.path(), http.port()), ("[2606:4700::1]:8080", "/", 8080));
}

#[test]
fn a_redirect_never_leaves_https() {
    let https = mk_target("https://host/a/b");
    for location in ["http://host/a/b", "http://other/", "HTTP://host"] {
        let error = https.redirected(location.as_bytes()).unwrap_err();
        assert!(error.0.contains("\"host\" redirects from https to http"), "{error}");
    }
    for location in ["https://other/c", "//other/c"] {
        assert_eq!(https.redirected(location.as_bytes()).unwrap().url.as_str(), "https://other/c");
    }
}

#[test]
fn a_redirect_may_be_relative_or_to_https() {
    let http = mk_target("http://host:81/a/b?x=1");
    for (location, wanted) in [
        ("c", "http://host:81/a/c"),
        ("/c?y=2", "http://host:81/c?y=2"),
        ("?z=3", "http://host:81/a/b?z=3"),
        ("https://host/", "https://host/"),
    ] {
        assert_eq!(http.redirected(location.as_bytes()).unwrap().url.as_str(), wanted);
    }
}

#[test]
fn a_redirect_passes_the_checks_of_an_address() {
    let http = mk_target("http://host/");
    for location in ["ftp://host/", "file:///etc/passwd", "http://user:secret@host/", "http://[::1", "gopher:x"] {
        let error = http.redirected(location.as_bytes()).unwrap_err();
        assert!(!error.0.contains("secret"), "{location}: {error}");
    }
}

#[test]
fn what_a_message_repeats_is_short() {
    let long = format!("ftp{}://host/", "x".repeat(10_000));
    assert!(Target::parse(&long).unwrap_err().0.len() < 400);
    let location = format!("{}:", "x".repeat(10_000));
    assert!(mk_target("http://host/").redirected(location.as_bytes()).unwrap_err().0.len() < 400);
}

#[test]
fn only_the_private_may_be_asked_in_the_clear_where_encryption_is_asked_for() {
    let at_home = Rules { allow_private: true, allow_plain: false };
    let outside = Rules { allow_private: false, allow_plain: false };
    for (url, rules, is_good) in [
        ("https://8.8.8.8/", outside, true),
        ("https://name.test/", outside, true),
        ("http://8.8.8.8/", outside, false),
        ("http://name.test/", outside, false),
        ("https://10.0.0.1/", outside, false),
        ("http://8.8.8.8/", at_home, false),
        ("http://10.0.0.1/", at_home, true),
        ("http://localhost/", at_home, true),
        ("http://169.254.169.254/", at_home, false),
        // Its address decides, when it is asked.
        ("http://name.test/", at_home, true),
    ] {
        assert_eq!(check(&mk_target(url), rules).is_ok(), is_good, "{url} {rules:?}");
    }
}

#[tokio::test]
async fn the_address_of_a_name_decides_whether_it_may_be_asked_in_the_clear() {
    let rules = Rules { allow_private: true, allow_plain: false };
    let names = Arc::<Names>::default().with("home.test", &[&[LOOPBACK]]).with("away.test", &[&[PUBLIC]]);
    vetted(&mk_target("http://home.test/"), &*names, rules).await.unwrap();
    let error = vetted(&mk_target("http://away.test/"), &*names, rules).await.unwrap_err();
    assert_eq!(error.0, "the host \"away.test\" may only be asked over https");
}

#[test]
fn an_origin_has_nothing_that_may_be_secret() {
    assert_eq!(mk_target("https://host:8443/secret?secret#secret").origin(), "https://host:8443");
}
