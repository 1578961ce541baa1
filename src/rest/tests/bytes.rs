//! Archives on their way out.

use axum::{body::to_bytes, http::StatusCode};
use tonic::{Code, Status};
use tower::ServiceExt;

use super::{Harness, admin, fake::told, path};
use crate::api::v1::{DownloadPackageResponse, download_package_response as download};

type Part = Result<DownloadPackageResponse, Status>;

fn header(file_name: &str, size: u64) -> Part {
    let header = download::Header { file_name: file_name.to_owned(), size, digest: "sha256:00".to_owned() };
    Ok(DownloadPackageResponse { part: Some(download::Part::Header(header)) })
}

fn chunk(bytes: &str) -> Part {
    Ok(DownloadPackageResponse { part: Some(download::Part::Chunk(bytes.as_bytes().to_vec())) })
}

#[tokio::test]
async fn an_archive_is_returned_with_its_name_and_length() {
    let harness = Harness::new();
    for (name, file) in
        [("greeter", "greeter.zip"), ("greeter.zip", "greeter.zip"), ("", "plugin.zip"), ("a\"; b", "ab.zip")]
    {
        harness.fake.downloads(vec![header(name, 6), chunk("abc"), chunk("def")]);
        let answer = harness.get(&path("/package")).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "abcdef"));
        assert_eq!(answer.header("content-type"), Some("application/zip"));
        assert_eq!(answer.header("content-length"), Some("6"));
        assert_eq!(answer.header("content-disposition"), Some(format!("attachment; filename={file}").as_str()));
    }
}

#[tokio::test]
async fn a_download_that_fails_on_its_way_breaks_off() {
    let harness = Harness::new();
    harness.fake.downloads(vec![header("a", 6), chunk("abc"), Err(Status::internal("disk"))]);
    let request = admin("GET", &path("/package")).body(axum::body::Body::empty()).unwrap();
    let response = harness.router.clone().oneshot(request).await.unwrap();
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}

#[tokio::test]
async fn a_download_that_fails_at_once_has_an_error_body() {
    let harness = Harness::new();
    harness.fake.downloads(vec![Err(told(Code::NotFound, "PACKAGE_NOT_FOUND", "it is gone"))]);
    let answer = harness.get(&path("/package")).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (StatusCode::NOT_FOUND, Some("package_not_found")));
    harness.fake.downloads(vec![]);
    assert_eq!(harness.get(&path("/package")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}
