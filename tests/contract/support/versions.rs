//! A package in versions: each of its files says which it belongs to, and its program refuses to run a mixture.

use plugd::api::v1::{
    DownloadPackageRequest, Plugin, UpdatePackageRequest,
    download_package_response::{Header, Part},
    update_package_request as update,
};
use serde_json::json;
use tonic::Status;

use crate::harness::{Api, chaos_manifest, within, zipped};

/// Data files of a version, its own one included.
pub(crate) const DATA_FILES: usize = 201;

const SCRIPT: &str = r#"
v=@
[ "$1" = "$v" ] || { echo "mixture: manifest $1, script $v"; exit 99; }
n=0
for f in data/*; do
    read -r w < "$f"
    [ "$w" = "$v" ] || { echo "mixture: $f has $w, script $v"; exit 98; }
    n=$((n + 1))
done
[ $n = @n ] || { echo "mixture: $n files"; exit 97; }
echo "whole $v"
exec chaos "$2"
"#;

/// One version, and how it behaves once it has looked at its files.
pub(crate) fn versioned(version: u32, behaviour: &str) -> Vec<u8> {
    let version = version.to_string();
    let mut manifest = chaos_manifest(&["run.sh", &version, behaviour]);
    manifest["command"] = json!("sh");
    manifest["version"] = json!(version);
    let manifest = manifest.to_string();
    let script = SCRIPT.replace("@n", &DATA_FILES.to_string()).replace('@', &version);
    let line = format!("{version}\n");
    let mut names: Vec<_> = (1..DATA_FILES).map(|number| format!("data/{number}")).collect();
    names.push(format!("data/only-in-{version}"));
    let mut entries = vec![("manifest.json", manifest.as_bytes(), 0o644), ("run.sh", script.as_bytes(), 0o644)];
    entries.extend(names.iter().map(|name| (name.as_str(), line.as_bytes(), 0o644)));
    zipped(&entries)
}

/// The version that is installed.
pub(crate) fn version_of(plugin: &Plugin) -> u32 {
    plugin.version.parse().unwrap()
}

/// Replaces a package.
pub(crate) async fn replace(api: &Api, id: &str, archive: Vec<u8>) -> Result<Plugin, Status> {
    let header = update::Header { plugin_id: id.to_owned(), ..Default::default() };
    let parts = [update::Part::Header(header), update::Part::Chunk(archive)];
    let messages = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    let answer = within("an update", api.packages().update_package(tokio_stream::iter(messages))).await?;
    Ok(answer.into_inner().plugin.unwrap())
}

/// Downloads a package.
pub(crate) async fn download(api: &Api, id: &str) -> Result<(Header, Vec<u8>), Status> {
    let request = DownloadPackageRequest { plugin_id: id.to_owned() };
    let mut parts = api.packages().download_package(request).await?.into_inner();
    let mut header = None;
    let mut bytes = Vec::new();
    while let Some(message) = within("a part", parts.message()).await? {
        match message.part.unwrap() {
            Part::Header(first) => assert!(header.replace(first).is_none(), "a second header"),
            Part::Chunk(chunk) => bytes.extend(chunk),
        }
    }
    Ok((header.unwrap(), bytes))
}
