//! `plugd install`, `update`, `rollback` and `download`: packages on their way to the server and back.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::json;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use zip::ZipArchive;

use super::{
    Context,
    client::{Api, One, QUICK, present, with_manifest_id, within},
    failure::{Exit, Failure},
    lifecycle::{Waiting, set},
    package::{self, ManifestArg, Package},
    show::{self, sentence, tell},
    ui::{quoted, sanitize},
    usage,
};
use crate::{
    api::v1::{
        ActiveState, DownloadPackageRequest, InstallPluginRequest, Plugin, PluginMode, RollbackPackageRequest,
        UpdatePackageRequest,
        download_package_response::{Header, Part},
        install_plugin_request::{Header as NewHeader, Part as NewPart},
        update_package_request::{Header as UpdateHeader, Part as UpdatePart},
    },
    domain::{
        events::EventCatalog,
        package::{Package as Read, digest_of},
    },
};

/// Install a plugin from a folder, a package or a URL
///
/// A plugin whose manifest id is installed already is refused, unless --update or --again says what is meant.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd install my-plugin --activate\n  plugd install my-plugin.zip\n  \
                        plugd install https://example.org/my-plugin.zip   the server fetches it\n  \
                        plugd install my-plugin --update                  whether it is installed already or not")]
pub(super) struct Install {
    /// The package, a folder with a manifest, or the URL of a package
    #[arg(value_name = "FILE|DIR|URL")]
    source: String,
    #[command(flatten)]
    manifest: ManifestArg,
    /// If its manifest id is installed already, replace the package of that plugin
    #[arg(long, conflicts_with = "again")]
    update: bool,
    /// Install it even if its manifest id is installed already, as one more plugin
    #[arg(long)]
    again: bool,
    /// Start it, too
    #[arg(long)]
    activate: bool,
    #[command(flatten)]
    waiting: Waiting,
}

impl Install {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let is_url = self.source.starts_with("http://") || self.source.starts_with("https://");
        let plugin = if is_url { self.have_fetched(context).await? } else { self.send(context).await? };
        if !self.activate {
            return tell(&context.ui, &plugin);
        }
        let started = set(&context.api, plugin.id.clone(), ActiveState::Active, self.waiting).await;
        let is_installed = format_args!("{} is installed, but", plugin.id);
        tell(&context.ui, &started.map_err(|status| Failure::from(status).about(is_installed))?)
    }

    async fn send(&self, context: &Context) -> Result<Plugin, Failure> {
        let package = Package::read(Path::new(&self.source), &self.manifest)?;
        package.warn(&context.ui);
        let installed = match self.again {
            true => Vec::new(),
            false => with_manifest_id(&context.api, package.manifest_id()).await?,
        };
        match installed.as_slice() {
            [] => send_new(&context.api, &package).await,
            [plugin] if self.update => Ok(send_update(&context.api, plugin, &package, self.waiting).await?),
            [first, ..] => Err(installed_already(first, &quoted(&self.source), "MANIFEST")),
        }
    }

    /// Has the server fetch and install the package, whose manifest id is known only afterwards.
    async fn have_fetched(&self, context: &Context) -> Result<Plugin, Failure> {
        if self.update || self.manifest.manifest.is_some() {
            return Err(usage("--update and --manifest are not for URLs: the server fetches the package by itself")
                .hint("download it, then install the file"));
        }
        let header = NewHeader { url: Some(self.source.clone()), ..NewHeader::default() };
        let plugin = install(&context.api, header, Bytes::new(), FETCH + QUICK, ProgressBar::hidden()).await?;
        let id = &show::manifest_id(&plugin).unwrap_or_default();
        let others = with_manifest_id(&context.api, id).await?.into_iter().filter(|other| other.id != plugin.id);
        for other in others.filter(|_| !self.again) {
            let remedy = format!("`plugd delete {}` removes this one", plugin.id);
            context.ui.warn(&format!("the manifest id {id:?} was installed already, as {}; {remedy}", other.id));
        }
        Ok(plugin)
    }
}

/// The refusal of one more plugin with the manifest id of another, which a package or a manifest can change instead.
pub(super) fn installed_already(other: &Plugin, package: &str, manifest: &str) -> Failure {
    let (id, manifest_id) = (&other.id, show::manifest_id(other).unwrap_or_default());
    let change = match other.mode() {
        PluginMode::External => format!("plugd update-manifest {id} {manifest}"),
        _ => format!("plugd update {id} {package}"),
    };
    Failure::new(format!("the manifest id {manifest_id:?} is there already: {id} is {}", show::mode(other)))
        .hint(format!("`{change}` replaces it; with --again this becomes one more plugin"))
        .exit(Exit::Conflict)
}

/// Replace the package of a plugin
///
/// If the plugin does not become stable with it, the package before it comes back by itself.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugd update my-plugin ./my-plugin\n  plugd update my-plugin my-plugin.zip --no-wait"
)]
pub(super) struct Update {
    #[command(flatten)]
    plugin: One,
    /// The package, or a folder with a manifest
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    #[command(flatten)]
    waiting: Waiting,
}

impl Update {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let package = Package::read(&self.path, &self.manifest)?;
        let before = self.plugin.get(&context.api).await?;
        package.warn(&context.ui);
        let after = send_update(&context.api, &before, &package, self.waiting).await?;
        tell_versions(context, &before, &after)
    }
}

/// Go back to the package before this one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd rollback my-plugin")]
pub(super) struct Rollback {
    #[command(flatten)]
    plugin: One,
    #[command(flatten)]
    waiting: Waiting,
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let before = self.plugin.get(&context.api).await?;
        let request =
            RollbackPackageRequest { plugin_id: before.id.clone(), wait: self.waiting.wait(), if_generation: None };
        let after = present(context.api.call(self.waiting.deadline(), request).await?.plugin)?;
        tell_versions(context, &before, &after)
    }
}

fn tell_versions(context: &Context, before: &Plugin, after: &Plugin) -> Result<(), Failure> {
    let json = || {
        let mut shown = show::plugin_json(after);
        shown["previous_version"] = before.version.as_str().into();
        shown
    };
    let line = || format!("{}: {}", sentence(&context.ui, after), versions(&before.version, &after.version));
    Ok(context.ui.json_or(json, line)?)
}

pub(super) fn versions(before: &str, after: &str) -> String {
    match before == after {
        true => format!("{} as before", show::version(after)),
        false => format!("{} -> {}", show::version(before), show::version(after)),
    }
}

const CHUNK: usize = 256 * 1024;
/// How long the largest package may take to be sent.
const UPLOAD: Duration = Duration::from_secs(5 * 60);
/// How long the server may take to fetch one (CONTRACT 3.2).
const FETCH: Duration = Duration::from_secs(30);

/// Sends a package as a new plugin.
pub(super) async fn send_new(api: &Api, package: &Package) -> Result<Plugin, Failure> {
    let header = NewHeader { expected_digest: Some(package.digest.clone()), ..NewHeader::default() };
    let bar = progress_bar(package.bytes.len() as u64);
    install(api, header, package.bytes.clone(), UPLOAD + QUICK, bar).await
}

/// Has the server install what a header names, with the bytes of an archive if there are any.
pub(super) async fn install(
    api: &Api,
    header: NewHeader,
    bytes: Bytes,
    limit: Duration,
    bar: ProgressBar,
) -> Result<Plugin, Failure> {
    let parts = parts(bytes, NewPart::Header(header), NewPart::Chunk, bar);
    let parts = parts.map(|part| InstallPluginRequest { part: Some(part) });
    let send = within(limit, parts, async |request| api.plugins().install_plugin(request).await);
    Ok(present(send.await?.plugin)?)
}

/// Sends a package as the new one of a plugin, and waits as told.
pub(super) async fn send_update(
    api: &Api,
    plugin: &Plugin,
    package: &Package,
    waiting: Waiting,
) -> Result<Plugin, Status> {
    let header = UpdateHeader {
        plugin_id: plugin.id.clone(),
        expected_digest: Some(package.digest.clone()),
        wait: waiting.wait(),
        if_generation: None,
    };
    let bar = progress_bar(package.bytes.len() as u64);
    update(api, header, package.bytes.clone(), UPLOAD + waiting.deadline(), bar).await
}

/// Sends an archive as the new package of the plugin that a header names, and waits as that says.
pub(super) async fn update(
    api: &Api,
    header: UpdateHeader,
    bytes: Bytes,
    limit: Duration,
    bar: ProgressBar,
) -> Result<Plugin, Status> {
    let parts = parts(bytes, UpdatePart::Header(header), UpdatePart::Chunk, bar);
    let parts = parts.map(|part| UpdatePackageRequest { part: Some(part) });
    let answer = within(limit, parts, async |request| api.packages().update_package(request).await).await?;
    present(answer.plugin)
}

/// A header, then the package in chunks, with a bar that shows how far it is.
fn parts<P: Send + 'static>(
    bytes: Bytes,
    header: P,
    chunk: impl Fn(Vec<u8>) -> P + Send + 'static,
    bar: ProgressBar,
) -> impl Stream<Item = P> + Send + 'static {
    let chunks = (0..bytes.len()).step_by(CHUNK).map(move |start| {
        let part = &bytes[start..bytes.len().min(start + CHUNK)];
        bar.inc(part.len() as u64);
        chunk(part.to_vec())
    });
    tokio_stream::iter(std::iter::once(header).chain(chunks))
}

/// A bar for so many bytes, on the terminal if there is one, until it is dropped.
fn progress_bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_finish(ProgressFinish::AndClear);
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
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
    /// Unpack it into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    unzip: Option<PathBuf>,
    /// Replace a file that is there, or unpack into a folder that is not empty
    #[arg(long)]
    force: bool,
}

impl Download {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (header, bytes) = fetch(&context.api, self.plugin.id(&context.api).await?).await?;
        if let Some(folder) = &self.unzip {
            unzip(&bytes, folder, self.force)?;
            return said(context, folder, bytes.len());
        }
        match self.file {
            Some(path) if path == Path::new("-") => Ok(context.ui.raw(&bytes)?),
            given => {
                let path = given.map_or_else(|| file_name(&header), Ok)?;
                package::write(&path, &bytes, self.force)?;
                said(context, &path, bytes.len())
            }
        }
    }
}

pub(super) async fn fetch(api: &Api, plugin_id: String) -> Result<(Header, Vec<u8>), Failure> {
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
    Read::read(bytes.to_vec().into(), &EventCatalog::any())?;
    let is_taken = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken && !is_forced {
        return Err(package::exists(folder));
    }
    let unpacked = ZipArchive::new(Cursor::new(bytes)).and_then(|mut archive| archive.extract(folder));
    unpacked.map_err(|error| Failure::new(format!("can't unpack into {}: {error}", folder.display())))
}

pub(super) fn said(context: &Context, path: &Path, size: usize) -> Result<(), Failure> {
    let line = || format!("{} ({size} bytes)", sanitize(&path.to_string_lossy()));
    Ok(context.ui.json_or(|| json!({"file": path, "size": size}), line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_for_a_person() {
        assert_eq!(versions("1", "2"), "version 1 -> version 2");
        assert_eq!(versions("", "2"), "no version -> version 2");
        assert_eq!(versions("2", "2"), "version 2 as before");
    }
}
