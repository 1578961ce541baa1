//! REST by curl.

use serde_json::Value;

use super::{
    Sse,
    command::{Run, program},
};

/// Where, and as whom.
#[derive(Clone)]
pub(crate) struct Rest {
    base: String,
    token: Option<String>,
    /// What curl needs to be told about certificates.
    trust: Vec<String>,
}

/// What is sent.
pub(crate) enum Body {
    None,
    Json(Value),
    Zip(Vec<u8>),
    /// Names and values, as a browser sends a form.
    Form(Vec<(&'static str, String)>),
    /// Media type, if any, and bytes.
    Raw(Option<&'static str>, Vec<u8>),
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Value,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of an error, which must have what CONTRACT 1.4 and plugd's own decisions say.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        let body = self.expect(status);
        for key in ["error", "message", "suggested", "title", "detail", "trace_id", "type"] {
            let is_there = body[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(is_there, "{key} is missing: {body}");
        }
        assert!(body["type"].as_str().unwrap().starts_with("urn:storyden:problem:"), "{body}");
        assert_eq!(body["status"], status, "{body}");
        assert!(body["metadata"].is_object(), "{body}");
        body
    }

    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers[name][0].as_str()
    }
}

impl Rest {
    pub(super) fn new(base: String, token: Option<&str>) -> Self {
        Self { base, token: token.map(str::to_owned), trust: Vec::new() }
    }

    /// The same with options of curl's about certificates.
    pub(super) fn trusting(self, trust: &[String]) -> Self {
        Self { trust: trust.to_owned(), ..self }
    }

    /// The same as the owner of this token.
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Body::None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Body) -> Answer {
        self.send("POST", path, body, &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Body) -> Answer {
        self.send("PATCH", path, body, &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, Body::None, &[]).await
    }

    /// PATCHes the active state.
    pub(crate) async fn set_active(&self, id: &str, state: &str) -> Answer {
        self.patch(&format!("/api/plugins/{id}/active"), Body::Json(serde_json::json!({"active": state}))).await
    }

    /// Installs an archive; returns the id.
    pub(crate) async fn install(&self, archive: Vec<u8>) -> String {
        let plugin = self.post("/api/plugins", Body::Zip(archive)).await.expect(200);
        plugin["id"].as_str().unwrap().to_owned()
    }

    /// The plugins.
    pub(crate) async fn list(&self) -> Vec<Value> {
        self.get("/api/plugins").await.expect(200)["plugins"].as_array().unwrap().clone()
    }

    /// Any request.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Body, headers: &[&str]) -> Answer {
        let mut curl = self.curl(path, headers);
        curl.args(["-X", method, "-w", r#"%{stderr}{"status": %{http_code}, "headers": %{header_json}}"#]);
        let (media, bytes) = match body {
            Body::None => (None, None),
            Body::Form(fields) => {
                let fields =
                    fields.iter().flat_map(|(name, value)| ["--data-urlencode".into(), format!("{name}={value}")]);
                curl.args(fields);
                (Some("application/x-www-form-urlencoded"), None)
            }
            Body::Json(value) => (Some("application/json"), Some(value.to_string().into_bytes())),
            Body::Zip(bytes) => (Some("application/zip"), Some(bytes)),
            Body::Raw(media, bytes) => (media, Some(bytes)),
        };
        // Without a value the header is left out, instead of curl's own choice.
        curl.args(["-H", &format!("content-type: {}", media.unwrap_or_default())]);
        if bytes.is_some() {
            curl.args(["--data-binary", "@-"]);
        }
        let output = curl.run_with(bytes.unwrap_or_default()).await;
        let about = output.stderr.find(r#"{"status""#).map(|at| &output.stderr[at..]);
        let about: Value = serde_json::from_str(about.unwrap_or_default()).unwrap_or_else(|_| panic!("{output:?}"));
        let status = u16::try_from(about["status"].as_u64().unwrap()).unwrap();
        assert_ne!(status, 0, "no answer: {output:?}");
        Answer { status, headers: about["headers"].clone(), bytes: output.stdout }
    }

    /// Opens a stream of events.
    pub(crate) fn stream(&self, path: &str, headers: &[&str]) -> Sse {
        let mut curl = self.curl(path, headers);
        Sse::start(curl.args(["--no-buffer", "--include"]))
    }

    fn curl(&self, path: &str, headers: &[&str]) -> tokio::process::Command {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*"]).args(&self.trust);
        if let Some(token) = &self.token {
            curl.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        for header in headers {
            curl.args(["-H", header]);
        }
        curl.arg(format!("{}{path}", self.base));
        curl
    }
}
