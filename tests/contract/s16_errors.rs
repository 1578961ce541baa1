//! Section 16 of the contract, and 1.4 with plugd's own decision on it: one error body for old clients and new ones, and
//! which status says what.
//!
//! Held elsewhere: what `/rpc` answers in `s10_handshake`; a useful `suggested` and all keys for every reason that there
//! is, and statuses that need a broken plugd (500, 504), in the unit tests of `src/rest` (errors); who prefers which media
//! type in every form of `Accept` there too (negotiation); 409 `revision_conflict` in `s03_rest::configuration`, 409
//! `superseded` and 502 in `s03_rest::activation`.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::keys;
use crate::harness::{Answer, Body, Cursor, Plugd, chaos, external_manifest, within};

const NOBODY: &str = "/api/plugins/9m4e2mr0ui3e8a215n4g";

/// Uploads that plugd takes at once.
const UPLOADS: usize = 8;
/// Those of one token.
const UPLOADS_OF_ONE: usize = 4;
/// Uploads of one token that may wait.
const UPLOADS_WAITING: usize = 32;

#[tokio::test]
async fn an_error_body_has_the_keys_of_old_clients_and_of_new_ones_16_1_4() {
    let plugd = Plugd::start().await;
    let answer = plugd.rest().get(NOBODY).await;
    let body = answer.problem(404);
    let all = ["detail", "error", "message", "metadata", "status", "suggested", "title", "trace_id", "type"];
    assert_eq!(keys(&body), all);
    assert_eq!((&body["error"], &body["status"]), (&json!("plugin_not_found"), &json!(404)));
    assert_eq!(body["type"], "urn:storyden:problem:not-found");
    let trace = body["trace_id"].as_str().unwrap();
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
    assert_eq!(answer.header("x-trace-id"), Some(trace));
    assert_eq!(body["metadata"]["plugin_instance_id"], "9m4e2mr0ui3e8a215n4g", "parameters of the path");
    assert_eq!(body["metadata"]["trace_id"], body["trace_id"]);
    assert_eq!(body["metadata"]["suggested"], body["suggested"]);
    assert!(answer.bytes.ends_with(b"}\n"));
}

#[tokio::test]
async fn the_trace_of_the_request_is_named_1_4() {
    let plugd = Plugd::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    let body = plugd.rest().send("GET", NOBODY, Body::None, &[&header]).await.problem(404);
    assert_eq!((&body["trace_id"], &body["metadata"]["trace_id"]), (&json!(trace), &json!(trace)));
}

/// plugd's own decision: both documents are the same.
#[tokio::test]
async fn the_media_type_is_the_problem_documents_only_for_whom_prefers_it_1_4() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    for (accept, media) in [
        ("accept: */*", "application/json"),
        ("accept: application/json", "application/json"),
        ("accept: application/json, text/plain, */*", "application/json"),
        ("accept: application/problem+json", "application/problem+json"),
        ("accept: application/json;q=0.9, application/problem+json", "application/problem+json"),
    ] {
        let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let answer = rest.send("GET", NOBODY, Body::None, &[accept, trace]).await;
        assert_eq!(answer.header("content-type"), Some(media), "{accept}");
        assert_eq!(answer.problem(404), rest.send("GET", NOBODY, Body::None, &[trace]).await.problem(404));
    }
}

#[tokio::test]
async fn each_status_has_its_type_16() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["exit", "42"])).await;
    let (_, viewer) = plugd.api().create_token("viewer", plugd::api::v1::Role::Viewer).await;
    let path = format!("/api/plugins/{id}");
    let active = || Body::Json(json!({"active": "active"}));
    let text = || Body::Raw(Some("text/plain"), b"x".to_vec());
    let another = Cursor { epoch: "another".to_owned(), ..plugd.api().live().await.cursor };
    let answers: [(u16, &str, Answer); 9] = [
        (400, "invalid-argument", rest.post("/api/plugins", Body::Json(json!({}))).await),
        (401, "unauthenticated", plugd.rest_as(None).get("/api/plugins").await),
        (403, "permission-denied", plugd.rest_as(Some(&viewer)).delete(&path).await),
        (404, "not-found", rest.get(NOBODY).await),
        (404, "not-found", rest.get("/api/nothing").await),
        (405, "method-not-allowed", rest.send("PUT", &path, Body::None, &[]).await),
        (410, "out-of-range", rest.get(&format!("/api/plugins/watch?cursor={}", another.text())).await),
        (415, "unsupported-media-type", rest.post("/api/plugins", text()).await),
        (502, "cancelled", rest.patch(&format!("{path}/active"), active()).await),
    ];
    for (status, kind, answer) in answers {
        assert_eq!(answer.problem(status)["type"], format!("urn:storyden:problem:{kind}"));
    }
}

/// The suffix of the id does not make it another plugin.
#[tokio::test]
async fn a_plugin_that_is_being_deleted_is_409_16() {
    let plugd = Plugd::with(&[("PLUGD_GRACE", "60s")]).await;
    let rest = plugd.rest();
    let id = rest.install(chaos(&["stubborn"])).await;
    rest.set_active(&id, "active").await.expect(200);
    let mut watch = rest.stream("/api/plugins/watch", &[]);
    let (deleting, path) = (plugd.rest(), format!("/api/plugins/{id}"));
    let deleting = tokio::spawn(async move { deleting.delete(&path).await });
    watch.until(|event| event.data.contains("\"transition\":\"stopping\"")).await;

    let refused = rest.set_active(&id, "active").await;

    Plugd::processes_of(&id).iter().for_each(crate::harness::Process::kill);
    assert_eq!(refused.problem(409)["error"], "being_deleted");
    assert_eq!(deleting.await.unwrap().status, 204);
}

/// Uploads that never end, begun by this token: each connection has sent the first bytes of its package.
async fn stalled_uploads(plugd: &Plugd, token: &str, count: usize) -> Vec<TcpStream> {
    let head = format!(
        "POST /api/plugins HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/zip\r\n\
         Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut uploads = Vec::new();
    for _ in 0..count {
        let mut upload = TcpStream::connect(plugd.address()).await.unwrap();
        upload.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        within("100 Continue", upload.read_exact(&mut go_on)).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        upload.write_all(b"PK").await.unwrap();
        uploads.push(upload);
    }
    uploads
}

#[tokio::test]
async fn uploads_of_one_token_that_never_end_keep_no_other_out() {
    let plugd = Plugd::start().await;
    let (_, other) = plugd.api().create_token("another", plugd::api::v1::Role::Admin).await;
    let _stalled = stalled_uploads(&plugd, &other, 2 * UPLOADS).await;
    for _ in 0..3 {
        plugd.rest().post("/api/plugins", Body::Zip(chaos(&["tame"]))).await.expect(200);
    }
}

/// Those of a token wait for their turn, but not any number of them; plugd says when to come again.
#[tokio::test]
async fn more_uploads_than_may_wait_are_503_with_retry_after_16() {
    let plugd = Plugd::start().await;
    let uploads = stalled_uploads(&plugd, plugd.token(), UPLOADS_OF_ONE + UPLOADS_WAITING + 1).await;
    let answers = uploads.into_iter().map(|mut upload| {
        Box::pin(async move {
            let mut answer = vec![0; 4096];
            let length = upload.read(&mut answer).await.unwrap();
            (String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase(), upload)
        })
    });
    let ((answer, _), _, others) = within("a refusal", futures_util::future::select_all(answers)).await;
    assert!(answer.starts_with("http/1.1 503") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("too_busy"), "{answer}");
    drop(others);
}

/// `error` of before is the word of now, `message` the words for a person; both are there whatever is asked for.
#[tokio::test]
async fn an_old_client_finds_what_it_reads_16() {
    let plugd = Plugd::start().await;
    let id = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    for accept in ["accept: application/json", "accept: application/problem+json"] {
        let body = Body::Json(json!({"active": "active"}));
        let answer = plugd.rest().send("PATCH", &format!("/api/plugins/{id}/active"), body, &[accept]).await;
        let body = answer.problem(400);
        assert_eq!((&body["error"], &body["title"]), (&json!("external_plugin"), &body["message"]));
        assert!(body["suggested"].as_str().unwrap().ends_with('.'));
    }
}
