//! CONTRACT 10.1 and 10.3.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends this request line and headers; the head of the answer, and its body if it is no upgrade.
async fn ask(rig: &Rig, line: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: plugd.test:8000\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

fn line(query: &str) -> String {
    format!("GET /rpc?{query}")
}

fn good() -> String {
    line(&format!("token=secret&plugin_id={PLUGIN}"))
}

#[tokio::test]
async fn a_proper_upgrade_is_let_in() {
    let rig = Setup::default().start().await;
    let answer = ask(&rig, &good(), UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

#[tokio::test]
async fn the_acceptor_sees_what_was_shown() {
    let mut rig = Setup::default().start().await;
    let (_socket, session) = rig.connect().await;
    let handshake = rig.handshakes.lock().unwrap().remove(0);
    assert_eq!((handshake.plugin_id, handshake.token.as_str()), (Some(PLUGIN.parse().unwrap()), "secret"));
    assert_eq!(handshake.user_agent, "Python/3.11 websockets/15.0.1");
    assert_eq!(session.user_agent(), handshake.user_agent);
}

#[tokio::test]
async fn what_is_missing_or_malformed_is_400_and_never_reaches_the_acceptor() {
    let rig = Setup::default().start().await;
    let external = token::mint_external();
    for (query, body) in [
        (String::new(), "missing token"),
        (format!("plugin_id={PLUGIN}"), "missing token"),
        ("token=".into(), "missing token"),
        ("token=secret".into(), "missing plugin_id"),
        ("token=sdprt_short".into(), "missing plugin_id"),
        ("token=secret&plugin_id=nonsense".into(), "malformed plugin_id"),
        (format!("token={external}&plugin_id=nonsense"), "malformed plugin_id"),
        (format!("token=a&token=b&plugin_id={PLUGIN}"), "malformed query"),
    ] {
        let answer = ask(&rig, &line(&query), UPGRADE).await;
        assert_eq!(status(&answer), "400", "{query}");
        assert!(answer.ends_with(body), "{query}: {answer}");
        assert!(answer.contains("text/plain"), "{answer}");
    }
    assert!(rig.handshakes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_external_token_needs_no_plugin_id_and_may_have_one_with_a_suffix() {
    let rig = Setup::default().start().await;
    let token = token::mint_external();
    for query in [format!("token={token}"), format!("token={token}&plugin_id={PLUGIN}-greeter")] {
        assert_eq!(status(&ask(&rig, &line(&query), UPGRADE).await), "101", "{query}");
    }
    let ids: Vec<_> = rig.handshakes.lock().unwrap().iter().map(|handshake| handshake.plugin_id).collect();
    assert_eq!(ids, [None, Some(PLUGIN.parse().unwrap())]);
}

#[tokio::test]
async fn what_is_refused_has_its_status() {
    for (refusal, expected) in
        [(Refusal::Unauthorised, "401"), (Refusal::BadRequest("no"), "400"), (Refusal::Internal, "500")]
    {
        let rig = Setup { refusal: Some(refusal), ..Setup::default() }.start().await;
        // Authentication comes first: without an upgrade it is refused all the same.
        for headers in [UPGRADE, "Connection: close\r\n"] {
            assert_eq!(status(&ask(&rig, &good(), headers).await), expected, "{refusal:?}");
        }
    }
}

#[tokio::test]
async fn no_upgrade_is_426_and_takes_no_connection() {
    let mut rig = Setup::default().start().await;
    for headers in ["Connection: close\r\n", "Connection: Upgrade, close\r\nUpgrade: h2c\r\n", "Upgrade: websocket\r\n"]
    {
        let answer = ask(&rig, &good(), headers).await;
        assert_eq!(status(&answer), "426", "{headers}");
        assert!(answer.to_lowercase().contains("upgrade: websocket"), "{answer}");
    }
    assert!(rig.sessions.try_recv().is_err());
}

#[tokio::test]
async fn a_wrong_version_or_key_is_400() {
    let rig = Setup::default().start().await;
    let version = UPGRADE.replace("Version: 13", "Version: 8");
    let answer = ask(&rig, &good(), &version).await;
    assert_eq!(status(&answer), "400");
    assert!(answer.to_lowercase().contains("sec-websocket-version: 13"), "{answer}");
    for key in ["", "dGhl", "not base64"] {
        let headers = UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", key);
        assert_eq!(status(&ask(&rig, &good(), &headers).await), "400", "{key}");
    }
}

#[tokio::test]
async fn another_method_is_405() {
    let rig = Setup::default().start().await;
    for method in ["POST", "HEAD", "OPTIONS", "DELETE"] {
        let answer = ask(&rig, &good().replacen("GET", method, 1), UPGRADE).await;
        assert_eq!(status(&answer), "405", "{method}");
    }
}

#[tokio::test]
async fn a_foreign_origin_is_403_and_our_own_is_let_in() {
    let rig = Setup::default().start().await;
    for (origin, expected) in [
        ("http://PLUGD.test:8000", "101"),
        ("http://evil.test", "403"),
        ("http://plugd.test:8001", "403"),
        ("http://plugd.test", "403"),
        ("null", "403"),
        ("", "403"),
    ] {
        let answer = ask(&rig, &good(), &format!("{UPGRADE}Origin: {origin}\r\n")).await;
        assert_eq!(status(&answer), expected, "{origin}");
    }
}

#[tokio::test]
async fn only_exactly_rpc_is_served() {
    let rig = Setup::default().start().await;
    for path in ["/rpc/", "/rpc/x", "/RPC", "/"] {
        let line = format!("GET {path}?token=secret&plugin_id={PLUGIN}");
        assert_eq!(status(&ask(&rig, &line, UPGRADE).await), "404", "{path}");
    }
}
