//! `plugd download`.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use tokio_stream::StreamExt;

use super::{
    Context, client::Api, failure::Failure, file, package::digest, resolve, transfer, ui::sanitize,
    update::check_supervised,
};
use crate::{
    api::v1::{
        DownloadPackageRequest,
        download_package_response::{Header, Part},
    },
    domain::{events::EventCatalog, package::Package},
};

/// Fetch the package of a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd download my-plugin\n  plugd download my-plugin -O - | sha256sum\n  \
                        plugd download my-plugin --unzip my-plugin")]
pub(super) struct Download {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
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
        let plugin = resolve::plugin(&context.api, &self.plugin).await?;
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
    let mut parts = api.streams().download_package(DownloadPackageRequest { plugin_id }).await?.into_inner();
    let (mut header, mut bytes) = (Header::default(), Vec::new());
    let bar = transfer::progress_bar(0);
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
    if digest(&bytes) != header.digest {
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
    let package = Package::read(bytes.to_vec().into(), &EventCatalog::any())?;
    let is_taken = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != ErrorKind::NotFound,
    };
    if is_taken && !is_forced {
        return Err(file::there(folder));
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
    if context.ui.is_json() {
        return Ok(context.ui.json(&serde_json::json!({"file": path, "size": size}))?);
    }
    Ok(context.ui.line(&format!("{} ({size} bytes)", sanitize(&path.to_string_lossy())))?)
}
