//! What is refused, with which words, and that nothing of it is kept.

use plugd::api::v1::{
    DownloadPackageRequest, GetConfigurationRequest, GetConfigurationSchemaRequest, RollbackPackageRequest,
    RotateTokenRequest, StreamLogsRequest,
};
use tonic::{Code, Status};

use crate::harness::{Plugd, chaos_manifest, field_violations, reason, zipped};

/// Ids of no plugin: too short, unknown, not canonical, not in the alphabet.
const NOBODY: [&str; 6] =
    ["x", "9m4e2mr0ui3e8a215n4g", "9m4e2mr0ui3e8a215n4h", "9M4E2MR0UI3E8A215N4G", "zzzzzzzzzzzzzzzzzzzz", "%00"];

/// The most that an archive may have.
const MAX_ARCHIVE: usize = 50 * 1024 * 1024;

#[tokio::test]
async fn an_unknown_or_malformed_id_is_not_found_by_every_call() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    for id in NOBODY.into_iter().chain(["", "../../etc/passwd"]) {
        let plugin_id = id.to_owned();
        let (mut packages, mut configurations) = (api.packages(), api.configurations());
        let refusals: [Status; 11] = [
            api.get(id).await.unwrap_err(),
            api.activate(id).await.unwrap_err(),
            api.deactivate(id).await.unwrap_err(),
            api.restart(id).await.unwrap_err(),
            api.delete(id).await.unwrap_err(),
            configurations
                .get_configuration(GetConfigurationRequest { plugin_id: plugin_id.clone() })
                .await
                .unwrap_err(),
            configurations
                .get_configuration_schema(GetConfigurationSchemaRequest { plugin_id: plugin_id.clone() })
                .await
                .unwrap_err(),
            api.plugins()
                .rotate_token(RotateTokenRequest { plugin_id: plugin_id.clone(), if_generation: None })
                .await
                .unwrap_err(),
            packages.download_package(DownloadPackageRequest { plugin_id: plugin_id.clone() }).await.unwrap_err(),
            packages
                .rollback_package(RollbackPackageRequest { plugin_id: plugin_id.clone(), ..Default::default() })
                .await
                .unwrap_err(),
            api.log_client()
                .stream_logs(StreamLogsRequest { plugin_ids: vec![plugin_id], ..Default::default() })
                .await
                .unwrap_err(),
        ];
        for status in refusals {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "PLUGIN_NOT_FOUND"), "{id:?}");
        }
    }
}

/// What is wrong, the archive, and the field or the words that name it.
#[tokio::test]
async fn a_package_with_a_large_file_declared_small_is_refused() {
    let plugd = Plugd::start().await;
    let manifest = chaos_manifest(&["tame"]).to_string();
    let mut archive = zipped(&[("manifest.json", manifest.as_bytes(), 0o644), ("data", &[b'x'; 1000], 0o644)]);
    let header = archive.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    archive[header + 24..header + 28].copy_from_slice(&10_u32.to_le_bytes());

    let status = plugd.api().upload(archive).await.unwrap_err();

    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_PACKAGE"));
    assert_eq!(field_violations(&status), ["package[data]"]);
}

/// Over REST it is 413: `contract::s01_transport`.
#[tokio::test]
async fn an_oversized_archive_is_too_large() {
    let plugd = Plugd::start().await;
    let before = plugd.files();
    let status = plugd.api().upload(vec![0; MAX_ARCHIVE + 1]).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
    assert_eq!(plugd.files(), before);
}
