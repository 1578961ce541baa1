//! The encrypted listener: who gets in, and what goes on as without encryption.

use serde_json::Value;

use crate::harness::{
    Certificates, Output, Plugd, Rest, Run, Running, chaos, cli, grpcurl_encrypted, program, rest_shim_trusting,
};

const LIST: &str = "plugd.v1.PluginService/ListPlugins";

/// A plugd with the server's certificate; with `wants_clients`, one that only clients of the authority get through to.
async fn mk_plugd(certificates: &Certificates, wants_clients: bool) -> Plugd {
    let [server, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| certificates.path(name));
    let mut knobs = vec![("PLUGD_TLS_CERT", &*server), ("PLUGD_TLS_KEY", &*key)];
    if wants_clients {
        knobs.push(("PLUGD_TLS_CLIENT_CA", &*ca));
    }
    Plugd::encrypted(&knobs, &as_client(certificates)).await
}

/// What curl has to be told.
fn as_client(certificates: &Certificates) -> Vec<String> {
    let option = |flag: &str, name| [flag.to_owned(), certificates.path(name)];
    [option("--cacert", "ca.pem"), option("--cert", "client.pem"), option("--key", "client.key")].concat()
}

async fn curl(url: &str, options: &[String]) -> Output {
    program("curl").args(["--silent", "--show-error", "--noproxy", "*"]).args(options).arg(url).run().await
}

/// Installs and activates a plugin that prints its environment; returns its id and the address that it was told to dial.
async fn run_a_plugin(rest: &Rest) -> (String, String) {
    const DIALLED: &str = "env PLUGD_RPC_URL=";
    let id = rest.install(chaos(&["print-env"])).await;
    let plugin = rest.set_active(&id, "active").await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "active");
    let mut log = rest.stream(&format!("/api/plugins/{id}/logs"), &[]);
    log.head().await;
    let line = log.until(|event| event.data.starts_with(DIALLED)).await.pop().unwrap().data;
    (id, line[DIALLED.len()..].to_owned())
}

#[tokio::test]
async fn every_client_is_served_encrypted_and_nobody_in_the_clear() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, false).await;
    assert!(plugd.url().starts_with("https://127.0.0.1:"), "{}", plugd.url());
    plugd.rest().get("/api/plugins").await.expect(200);
    let ca = certificates.path("ca.pem");
    let listed = grpcurl_encrypted(&plugd, &["-cacert", &ca], LIST).run().await.json();
    assert_eq!(listed["plugins"], Value::Null);

    let of_nobody = curl(&format!("{}/healthz", plugd.url()), &[]).await;
    assert_eq!(of_nobody.code(), Some(60), "curl does not know the authority: {of_nobody:?}");
    let in_the_clear = curl(&format!("http://{}/healthz", plugd.address()), &[]).await;
    assert!(!in_the_clear.status.success(), "{in_the_clear:?}");
}

#[tokio::test]
async fn a_plugin_of_this_host_needs_no_certificate_and_its_door_leads_nowhere_else() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, true).await;
    let (_, dialled) = run_a_plugin(&plugd.rest()).await;

    let door = dialled.strip_prefix("ws://").and_then(|url| url.split_once("/rpc?")).unwrap().0;
    assert!(door.starts_with("127.0.0.1:"), "{dialled}");
    assert_ne!(door, plugd.address().to_string());
    for path in ["/api/plugins", "/healthz", "/api/info", "/plugd.v1.PluginService/ListPlugins"] {
        let status = curl(&format!("http://{door}{path}"), &["--write-out".into(), "%{http_code}".into()]).await;
        assert_eq!(status.text(), "404", "{path}");
    }
}

#[tokio::test]
async fn with_an_authority_for_clients_nobody_else_gets_a_connection() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, true).await;
    plugd.rest().get("/api/plugins").await.expect(200);
    plugd.rest_as(None).get("/api/plugins").await.problem(401);

    let anonymous = ["--cacert".to_owned(), certificates.path("ca.pem")];
    let refused = curl(&format!("{}/healthz", plugd.url()), &anonymous).await;
    assert!(!refused.status.success(), "{refused:?}");
    let others = Certificates::new();
    let [cert, key] = ["client.pem", "client.key"].map(|name| others.path(name));
    let foreign = [&anonymous[..], &["--cert".into(), cert, "--key".into(), key]].concat();
    let refused = curl(&format!("{}/healthz", plugd.url()), &foreign).await;
    assert!(!refused.status.success(), "{refused:?}");
}

#[tokio::test]
async fn the_shim_dials_an_encrypted_upstream_and_shows_its_certificate() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, true).await;
    let trust =
        [("PLUGD_UPSTREAM_CA", "ca.pem"), ("PLUGD_UPSTREAM_CERT", "client.pem"), ("PLUGD_UPSTREAM_KEY", "client.key")]
            .map(|(name, file)| (name, certificates.path(file)));
    let (_shim, rest) = rest_shim_trusting(&plugd, &trust).await;
    let (id, _) = run_a_plugin(&rest).await;
    let plugin = plugd.rest().get(&format!("/api/plugins/{id}")).await.expect(200);
    assert_eq!(plugin["status"]["active_state"], "active");
    let stopped = rest.set_active(&id, "inactive").await;
    assert_eq!(stopped.expect(200)["status"]["active_state"], "inactive");
}

#[tokio::test]
async fn the_command_line_speaks_to_an_encrypted_server() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, true).await;
    let (id, _) = run_a_plugin(&plugd.rest()).await;
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificates.path(name));
    let listed = cli(&plugd, &["list", "-o", "json", "--cacert", &ca, "--cert", &cert, "--key", &key]).run().await;
    assert_eq!(listed.json()[0]["id"], *id);

    let trusting = |args: &[&str]| {
        let mut command = cli(&plugd, args);
        command.env("PLUGD_CACERT", &ca).env("PLUGD_CERT", &cert).env("PLUGD_KEY", &key);
        command
    };
    assert!(trusting(&["deactivate", &id]).run().await.text().contains("inactive"));
    let manifest = certificates.path("manifest.json");
    std::fs::write(&manifest, r#"{"id": "outside", "name": "Outside", "author": "me"}"#).unwrap();
    let registered = trusting(&["register", &manifest]).run().await;
    assert!(registered.text().contains("wss://127.0.0.1:"), "{registered:?}");
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong_with_a_connection() {
    let certificates = Certificates::new();
    let plugd = mk_plugd(&certificates, true).await;
    let refused = cli(&plugd, &["list"]).run().await;
    assert_eq!(refused.code(), Some(8), "{refused:?}");
    assert!(refused.stderr.contains("--cacert"), "{refused:?}");
    let anonymous = cli(&plugd, &["list", "--cacert", &certificates.path("ca.pem")]).run().await;
    assert!(anonymous.stderr.contains("--cert"), "{anonymous:?}");
    let in_the_clear = cli(&plugd, &["list", "--server", &format!("http://{}", plugd.address())]).run().await;
    assert!(in_the_clear.stderr.contains("https://"), "{in_the_clear:?}");
    let nowhere = cli(&plugd, &["list", "--cacert", "/nowhere.pem"]).run().await;
    assert!(nowhere.stderr.contains("/nowhere.pem"), "{nowhere:?}");
    assert_eq!(nowhere.code(), Some(2));
    let half = cli(&plugd, &["list", "--cert", &certificates.path("client.pem")]).run().await;
    assert!(half.stderr.contains("needs its key"), "{half:?}");
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_taken_as_curl_takes_it() {
    let certificates = Certificates::new();
    let [own, key] = ["own.pem", "own.key"].map(|name| certificates.path(name));
    let knobs = [("PLUGD_TLS_CERT", &*own), ("PLUGD_TLS_KEY", &*key)];
    let plugd = Plugd::encrypted(&knobs, &["--cacert".to_owned(), own.clone()]).await;
    plugd.rest().get("/api/plugins").await.expect(200);

    let trusting = cli(&plugd, &["list", "--cacert", &own]).run().await;
    assert!(trusting.status.success(), "{trusting:?}");
    let (_shim, rest) = rest_shim_trusting(&plugd, &[("PLUGD_UPSTREAM_CA", own)]).await;
    rest.get("/api/plugins").await.expect(200);

    let another = Certificates::new().path("own.pem");
    let refused = cli(&plugd, &["list", "--cacert", &another]).run().await;
    assert_eq!(refused.code(), Some(2), "that file is gone: {refused:?}");
    let others = Certificates::new();
    let refused = cli(&plugd, &["list", "--cacert", &others.path("own.pem")]).run().await;
    assert_eq!(refused.code(), Some(8), "{refused:?}");
    assert!(refused.stderr.contains("--insecure"), "{refused:?}");
    let blind = cli(&plugd, &["list", "--insecure"]).run().await;
    assert!(blind.status.success(), "{blind:?}");
    assert_eq!(blind.stderr.matches("warning: --insecure").count(), 1, "{blind:?}");
    let by_variable = cli(&plugd, &["list"]).env("PLUGD_INSECURE", "true").run().await;
    assert!(by_variable.status.success(), "{by_variable:?}");
}

#[tokio::test]
async fn whoever_has_the_wrong_scheme_is_told_so() {
    let certificates = Certificates::new();
    let (encrypted, plain) = (mk_plugd(&certificates, false).await, Plugd::start().await);
    for command in [&["list"][..], &["watch"], &["watch", "--live"]] {
        let server = format!("http://{}", encrypted.address());
        let refused = cli(&encrypted, &[command, &["--server", &server]].concat()).run().await;
        assert_eq!(refused.code(), Some(8), "{refused:?}");
        let said = format!("error: {server}: what answers there encrypts\n  hint: write its address as https://");
        assert!(refused.stderr.contains(&said), "{refused:?}");
    }
    let server = format!("https://{}", plain.address());
    let refused = cli(&plain, &["list", "--server", &server]).run().await;
    assert_eq!(refused.code(), Some(8), "{refused:?}");
    assert!(refused.stderr.contains(&format!("{server}: what answers there does not encrypt\n")), "{refused:?}");
    assert!(refused.stderr.contains("http:// instead of https://"), "{refused:?}");
}

/// Serves with a certificate of plugd's own; what it says about that.
async fn serve_self_signed(folder: &str) -> (Running, String, String) {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--tls-self-signed", "--data-dir", folder]);
    let mut running = Running::start_reading_stderr(&mut command);
    let fingerprint = running.find("SHA-256 fingerprint: ").await;
    let line = running.find("To use it: plugd ").await;
    (running, fingerprint, line.split_once("To use it: plugd ").unwrap().1.to_owned())
}

#[tokio::test]
async fn plugd_makes_itself_a_certificate_and_says_how_to_use_it() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("it's a data folder");
    let folder = folder.to_str().unwrap();
    let (running, fingerprint, line) = serve_self_signed(folder).await;
    let pasted = format!("{} {line}", env!("CARGO_BIN_EXE_plugd"));
    let listed = program("sh").args(["-c", &pasted]).run().await;
    assert!(listed.status.success() && listed.stderr.contains("No plugins"), "{pasted}: {listed:?}");
    let own = format!("{folder}/tls/self-signed.pem");
    let server = line.split(' ').find(|word| word.starts_with("https://127.0.0.1:")).unwrap();
    let with_curl = curl(&format!("{server}/healthz"), &["--cacert".to_owned(), own]).await;
    assert!(with_curl.status.success(), "{with_curl:?}");
    running.interrupt();
    assert!(running.ended().await.success());

    let (running, again, _) = serve_self_signed(folder).await;
    assert_eq!(again, fingerprint, "the next start has the same");
    running.interrupt();
    running.ended().await;
}
