//! Section 17 of the contract: what the `sd plugin` commands send, in their order, and what they read of the answers.
//! Anything but 200 (204 for a deletion) they take for a failure and print as it is.
//!
//! Commands without requests (`dev new`, `validate`, `package`, `symbols`) need nothing of plugd.

use plugd::api::v1::ReportedState::Active;
use serde_json::{Value, json};

use super::support::{Wire, settle};
use crate::harness::{
    Answer, Body, Plugd, Rest, Running, chaos, chaos_manifest, external_manifest, packaged, program, within,
};

/// The command line with a static access key.
struct Sd {
    rest: Rest,
    endpoint: String,
    token: String,
}

/// What a command prints, or the raw body of a failure.
type Printed = Result<Value, (u16, Vec<u8>)>;

impl Sd {
    fn new(plugd: &Plugd) -> Self {
        Self { rest: plugd.rest(), endpoint: plugd.url(), token: plugd.token().to_owned() }
    }

    fn checked(answer: Answer) -> Printed {
        if answer.status == 200 { Ok(answer.json()) } else { Err((answer.status, answer.bytes)) }
    }

    async fn list(&self) -> Vec<Value> {
        let list = Self::checked(self.rest.get("/api/plugins").await).unwrap();
        list["plugins"].as_array().unwrap().clone()
    }

    async fn get(&self, id: &str) -> Printed {
        Self::checked(self.rest.get(&format!("/api/plugins/{id}")).await)
    }

    async fn set(&self, id: &str, active: &str) -> Printed {
        Self::checked(self.rest.set_active(id, active).await)
    }

    async fn rotate(&self, id: &str) -> Printed {
        Self::checked(self.rest.post(&format!("/api/plugins/{id}/token"), Body::None).await)
    }

    /// The installation of the project in the current folder: found by the id in its manifest.
    async fn installed(&self, manifest: &Value) -> Option<Value> {
        self.list().await.into_iter().find(|plugin| plugin["manifest"]["id"] == manifest["id"])
    }

    /// `dev install`.
    async fn install(&self, manifest: &Value) -> Printed {
        let package = Body::Zip(packaged(manifest));
        match self.installed(manifest).await {
            Some(plugin) if plugin["connection"]["mode"] == "supervised" => {
                let path = format!("/api/plugins/{}/package", plugin["id"].as_str().unwrap());
                Self::checked(self.rest.patch(&path, package).await)
            }
            Some(plugin) => Err((0, plugin["connection"]["mode"].to_string().into_bytes())),
            None => Self::checked(self.rest.post("/api/plugins", package).await),
        }
    }

    /// `dev run`, up to the address that the plugin gets: of the endpoint, with the token alone.
    async fn run(&self, manifest: &Value) -> (Value, String) {
        let answer = match self.installed(manifest).await {
            Some(plugin) => {
                assert_eq!(plugin["connection"]["mode"], "external", "it refuses supervised ones");
                let path = format!("/api/plugins/{}/manifest", plugin["id"].as_str().unwrap());
                self.rest.patch(&path, Body::Json(manifest.clone())).await
            }
            None => {
                let body = json!({"mode": "external", "manifest": manifest});
                self.rest.post("/api/plugins", Body::Json(body)).await
            }
        };
        let plugin = Self::checked(answer).unwrap();
        let token = plugin["connection"]["token"].as_str().unwrap();
        let url = format!("{}/rpc?token={token}", self.endpoint.replacen("http", "ws", 1));
        (plugin, url)
    }

    /// `logs`, which prints what follows `data: ` of each line.
    fn logs(&self, id: &str) -> Running {
        let mut curl = program("curl");
        curl.args([
            "--silent",
            "--no-buffer",
            "--noproxy",
            "*",
            "-H",
            &format!("authorization: Bearer {}", self.token),
        ]);
        Running::start(curl.arg(format!("{}/api/plugins/{id}/logs", self.endpoint)))
    }
}

#[tokio::test]
async fn sd_list_and_get_and_activate_and_deactivate_and_delete_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    assert_eq!(sd.list().await, [] as [Value; 0]);
    let id = sd.install(&chaos_manifest(&["tame"])).await.unwrap()["id"].as_str().unwrap().to_owned();
    let [row] = &sd.list().await[..] else { panic!("not one row") };
    let columns = [&row["id"], &row["name"], &row["connection"]["mode"], &row["status"]["active_state"]];
    assert_eq!(columns, [&json!(id), &json!("Chaos"), &json!("supervised"), &json!("inactive")]);
    assert_eq!((&row["version"], &row["description"]), (&json!("1.0.0"), &json!("Misbehaves.")), "--wide");
    assert_eq!(sd.get(&id).await.unwrap(), *row);
    assert_eq!(sd.set(&id, "active").await.unwrap()["status"]["active_state"], "active");
    assert_eq!(sd.set(&id, "inactive").await.unwrap()["status"]["active_state"], "inactive");
    assert_eq!(sd.rest.delete(&format!("/api/plugins/{id}")).await.status, 204);
    let (status, body) = sd.get(&id).await.unwrap_err();
    assert_eq!(status, 404);
    assert!(String::from_utf8(body).unwrap().contains("there is no plugin"), "what it prints says what is wrong");
}

#[tokio::test]
async fn sd_logs_prints_what_follows_data_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    let id = sd.install(&chaos_manifest(&["tame"])).await.unwrap()["id"].as_str().unwrap().to_owned();
    let mut logs = sd.logs(&id);
    sd.set(&id, "active").await.unwrap();
    let mut printed = Vec::new();
    let read = async {
        while printed.is_empty() {
            let line = logs.line().await.unwrap();
            let text = line.strip_prefix("data: ");
            assert!(text.is_some() || line.is_empty() || line.starts_with(':'), "{line:?}");
            printed.extend(text.map(str::to_owned));
        }
    };
    within("the log", read).await;
    assert_eq!(printed[0], "pid 2", "its number in the world of its run");
}

#[tokio::test]
async fn sd_token_rotate_prints_the_token_that_opens_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    let (plugin, _) = sd.run(&external_manifest("outside")).await;
    let rotated = sd.rotate(plugin["id"].as_str().unwrap()).await.unwrap();
    let token = rotated["token"].as_str().unwrap();
    assert_eq!(Wire::dial(&plugd, plugin["connection"]["token"].as_str().unwrap()).await.err(), Some(401));
    assert!(Wire::dial(&plugd, token).await.is_ok());
}

#[tokio::test]
async fn sd_dev_install_adds_then_updates_by_the_manifests_id_and_refuses_an_external_one_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    let mut manifest = chaos_manifest(&["tame"]);
    let first = sd.install(&manifest).await.unwrap();
    let id = first["id"].as_str().unwrap();
    sd.set(id, "active").await.unwrap();
    manifest["version"] = json!("1.1.0");
    let second = sd.install(&manifest).await.unwrap();
    assert_eq!((&second["id"], &second["version"]), (&first["id"], &json!("1.1.0")));
    assert_eq!(second["status"]["active_state"], "active", "it waits until the new one runs");
    sd.run(&external_manifest("outside")).await;
    assert_eq!(sd.install(&external_manifest("outside")).await.unwrap_err(), (0, b"\"external\"".to_vec()));
}

#[tokio::test]
async fn sd_dev_download_knows_the_length_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    let archive = chaos(&["tame"]);
    let id = sd.rest.install(archive.clone()).await;
    let answer = sd.rest.get(&format!("/api/plugins/{id}/package")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-length"), Some(archive.len().to_string().as_str()));
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.bytes, archive);
}

#[tokio::test]
async fn sd_dev_run_dials_with_the_token_of_the_answer_the_first_time_and_every_other_17() {
    let plugd = Plugd::start().await;
    let sd = Sd::new(&plugd);
    let mut manifest = external_manifest("outside");
    let mut ids = Vec::new();
    for version in ["1.0.0", "1.1.0"] {
        manifest["version"] = json!(version);
        let (plugin, url) = sd.run(&manifest).await;
        assert_eq!(plugin["version"], version);
        let id = plugin["id"].as_str().unwrap().to_owned();
        let (_, query) = url.split_once("/rpc?").unwrap();
        let wire = Wire::dial_as(&plugd, query, "").await.unwrap();
        settle(&plugd, &id, Active).await;
        drop(wire);
        ids.push(id);
    }
    assert_eq!(ids[0], ids[1], "it is updated, not added again");
    assert_eq!(sd.list().await.len(), 1);
}

/// The hint to log in again is printed for 401 alone.
#[tokio::test]
async fn sd_fails_with_401_when_its_key_is_no_good_17() {
    let plugd = Plugd::start().await;
    let sd = Sd { rest: plugd.rest_as(Some("sdpak_nobody")), ..Sd::new(&plugd) };
    assert_eq!(sd.get("9m4e2mr0ui3e8a215n4g").await.unwrap_err().0, 401);
    assert_eq!(sd.set("9m4e2mr0ui3e8a215n4g", "active").await.unwrap_err().0, 401);
    assert_eq!(sd.rotate("9m4e2mr0ui3e8a215n4g").await.unwrap_err().0, 401);
}
