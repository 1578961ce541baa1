//! Packages on their way to the server.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_stream::{Stream, StreamExt};

use super::{
    active::Waiting,
    client::{Api, QUICK, present, within},
    failure::Failure,
    package::Package,
};
use crate::api::v1::{
    InstallPluginFromUrlRequest, InstallPluginRequest, Plugin, UpdatePackageRequest, install_plugin_request,
    update_package_request,
};
use tonic::Status;

/// Bytes in each message.
const CHUNK: usize = 256 * 1024;
/// How long the largest package may take to be sent.
const UPLOAD: Duration = Duration::from_secs(5 * 60);
/// How long the server may take to fetch one (CONTRACT 3.2).
const FETCH: Duration = Duration::from_secs(30);

/// Sends a package as a new plugin.
///
/// # Errors
/// It is refused, or can't be sent.
pub(super) async fn install(api: &Api, package: &Package) -> Result<Plugin, Failure> {
    use install_plugin_request::{Header, Part};
    let header = Part::Header(Header { expected_digest: package.digest.clone() });
    let parts = parts(package, header, Part::Chunk).map(|part| InstallPluginRequest { part: Some(part) });
    let send = within(UPLOAD + QUICK, parts, async |request| api.plugins().install_plugin(request).await);
    present(send.await?.plugin)
}

/// Has the server fetch a package and install it.
///
/// # Errors
/// It can't be fetched, or is refused.
pub(super) async fn install_from_url(api: &Api, url: &str) -> Result<Plugin, Failure> {
    let request = InstallPluginFromUrlRequest { url: url.to_owned() };
    let send = async |request| api.plugins().install_plugin_from_url(request).await;
    present(within(FETCH + QUICK, request, send).await?.plugin)
}

/// Sends a package as the new one of a plugin.
///
/// # Errors
/// It is refused, can't be sent, or does not run.
pub(super) async fn update(api: &Api, plugin_id: &str, package: &Package, waiting: Waiting) -> Result<Plugin, Status> {
    use update_package_request::{Header, Part};
    let header = Part::Header(Header {
        plugin_id: plugin_id.to_owned(),
        expected_digest: package.digest.clone(),
        return_immediately: waiting.no_wait,
        wait_timeout: waiting.limit(),
    });
    let limit = UPLOAD + waiting.deadline();
    let parts = parts(package, header, Part::Chunk).map(|part| UpdatePackageRequest { part: Some(part) });
    let answer = within(limit, parts, async |request| api.plugins().update_package(request).await).await?;
    answer.plugin.ok_or_else(|| Status::internal("the server's answer is incomplete"))
}

/// A header, then the package in chunks, with a bar that shows how far it is.
fn parts<P: Send + 'static>(
    package: &Package,
    header: P,
    chunk: impl Fn(Vec<u8>) -> P + Send + 'static,
) -> impl Stream<Item = P> + Send + 'static {
    let bar = progress_bar(package.bytes.len() as u64);
    let chunks: Vec<Vec<u8>> = package.bytes.chunks(CHUNK).map(<[u8]>::to_vec).collect();
    let count = chunks.len();
    let chunks = chunks.into_iter().enumerate().map(move |(index, bytes)| {
        bar.inc(bytes.len() as u64);
        if index + 1 == count {
            bar.finish_and_clear();
        }
        chunk(bytes)
    });
    tokio_stream::iter(std::iter::once(header).chain(chunks))
}

/// A bar on the terminal, if there is one, for so many bytes.
pub(super) fn progress_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
