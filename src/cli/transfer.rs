//! Packages on their way to the server and back: sending them, and `plugd download`.

use std::{
    fs,
    io::{self, ErrorKind, IsTerminal},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::{
    Context,
    client::{Api, QUICK, present, within},
    failure::{Exit, Failure},
    file,
    package::Package,
    select::One,
    ui::sanitize,
    wait::Waiting,
};
use crate::{
    api::v1::{
        DownloadPackageRequest, InstallPluginRequest, Plugin, PluginMode, UpdatePackageRequest,
        download_package_response::{Header, Part},
        install_plugin_request, update_package_request,
    },
    domain::{self, events::EventCatalog, package::digest_of},
};

/// Bytes in each message.
const CHUNK: usize = 256 * 1024;
/// How long the largest package may take to be sent.
const UPLOAD: Duration = Duration::from_secs(5 * 60);
/// How long the server may take to fetch one (CONTRACT 3.2).
const FETCH: Duration = Duration::from_secs(30);

/// Sends a package as a new plugin.
pub(super) async fn send_new(api: &Api, package: &Package) -> Result<Plugin, Failure> {
    use install_plugin_request::{Header, Part};
    let header = Part::Header(Header { expected_digest: Some(package.digest.clone()), ..Header::default() });
    let parts = parts(package, header, Part::Chunk).map(|part| InstallPluginRequest { part: Some(part) });
    let send = within(UPLOAD + QUICK, parts, async |request| api.plugins().install_plugin(request).await);
    Ok(present(send.await?.plugin)?)
}

/// Has the server fetch a package and install it.
pub(super) async fn install_from_url(api: &Api, url: &str) -> Result<Plugin, Failure> {
    use install_plugin_request::{Header, Part};
    let header = Part::Header(Header { url: Some(url.to_owned()), ..Header::default() });
    let messages = tokio_stream::once(InstallPluginRequest { part: Some(header) });
    let send = async |messages| api.plugins().install_plugin(messages).await;
    Ok(present(within(FETCH + QUICK, messages, send).await?.plugin)?)
}

/// Sends a package as the new one of a plugin.
pub(super) async fn send_update(
    api: &Api,
    plugin_id: &str,
    package: &Package,
    waiting: Waiting,
) -> Result<Plugin, Status> {
    use update_package_request::{Header, Part};
    let header = Part::Header(Header {
        plugin_id: plugin_id.to_owned(),
        expected_digest: Some(package.digest.clone()),
        wait: waiting.wait(),
        if_generation: None,
    });
    let limit = UPLOAD + waiting.deadline();
    let parts = parts(package, header, Part::Chunk).map(|part| UpdatePackageRequest { part: Some(part) });
    let answer = within(limit, parts, async |request| api.packages().update_package(request).await).await?;
    present(answer.plugin)
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
fn progress_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Only a plugin that plugd runs has a package.
pub(super) fn check_supervised(plugin: &Plugin) -> Result<(), Failure> {
    if plugin.mode() != PluginMode::External {
        return Ok(());
    }
    Err(Failure::new(format!("{} is an external plugin and has no package", plugin.id))
        .hint(format!("`plugd update-manifest {} MANIFEST` changes what is known of it", plugin.id))
        .exit(Exit::Refused))
}

/// Fetch the package of a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd download my-plugin\n  plugd download my-plugin -O - | sha256sum\n  \
                        plugd download my-plugin --unzip my-plugin")]
pub(super) struct Download {
    #[command(flatten)]
    plugin: One,
    /// Where to write it; - for standard output [default: a name after the manifest id]
    #[arg(long, short = 'O', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Nothing: for those who name the file as they would name it to `cp`
    #[arg(hide = true, value_parser = not_a_file)]
    _file: Option<String>,
    /// Unpack it into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    unzip: Option<PathBuf>,
    /// Replace a file that is there, or unpack into a folder that is not empty
    #[arg(long)]
    force: bool,
}

fn not_a_file(file: &str) -> Result<String, String> {
    Err(format!("name the file with -O: -O {file}"))
}

impl Download {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let plugin = self.plugin.get(&context.api).await?;
        check_supervised(&plugin)?;
        let (header, bytes) = fetch(&context.api, plugin.id).await?;
        if let Some(folder) = &self.unzip {
            unzip(&bytes, folder, self.force)?;
            return said(context, folder, bytes.len());
        }
        match self.file {
            Some(path) if path == Path::new("-") => Ok(context.ui.raw(&bytes)?),
            given => {
                let path = given.map_or_else(|| file_name(&header), Ok)?;
                file::write(&path, &bytes, self.force)?;
                said(context, &path, bytes.len())
            }
        }
    }
}

async fn fetch(api: &Api, plugin_id: String) -> Result<(Header, Vec<u8>), Failure> {
    let mut parts = api.packages().download_package(DownloadPackageRequest { plugin_id }).await?.into_inner();
    let (mut header, mut bytes) = (Header::default(), Vec::new());
    let bar = progress_bar(0);
    while let Some(part) = parts.next().await {
        match part?.part {
            Some(Part::Header(first)) => {
                bar.set_length(first.size);
                header = first;
            }
            Some(Part::Chunk(chunk)) => {
                bar.inc(chunk.len() as u64);
                bytes.extend_from_slice(&chunk);
            }
            None => {}
        }
    }
    bar.finish_and_clear();
    if digest_of(&bytes).to_string() != header.digest {
        return Err(Failure::new("the package arrived damaged").hint("fetch it again"));
    }
    Ok((header, bytes))
}

/// The name that the server suggests, without any folder in it.
fn file_name(header: &Header) -> Result<PathBuf, Failure> {
    let name = Path::new(&header.file_name).file_name();
    let no_name = || Failure::new("the server gave no name for the file").hint("give one with -O FILE");
    name.map(PathBuf::from).ok_or_else(no_name)
}

/// Unpacks a package into a folder that is made for it. Nothing of it can land elsewhere: its paths are checked first.
fn unzip(bytes: &[u8], folder: &Path, is_forced: bool) -> Result<(), Failure> {
    let package = domain::package::Package::read(bytes.to_vec().into(), &EventCatalog::any())?;
    let is_taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if is_taken && !is_forced {
        return Err(file::exists(folder));
    }
    let unpacked = package.extract_each(&mut |file, contents| write(folder, &file.path, file.mode, contents));
    unpacked.map_err(|error| Failure::from(error).about(format_args!("can't unpack into {}", folder.display())))
}

/// Writes one file anew, so that no link that is there is followed.
fn write(folder: &Path, path: &str, mode: u32, contents: &mut dyn io::Read) -> io::Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::File::create_new(&path)?;
    io::copy(contents, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode & 0o777))
}

fn said(context: &Context, path: &Path, size: usize) -> Result<(), Failure> {
    let line = || format!("{} ({size} bytes)", sanitize(&path.to_string_lossy()));
    Ok(context.ui.json_or(|| json!({"file": path, "size": size}), line)?)
}
