//! `plugd download`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use tokio_stream::StreamExt;

use super::{
    Context,
    client::Api,
    failure::{Exit, Failure},
    package::digest,
    resolve::plugin_id,
};
use crate::api::v1::{
    DownloadPackageRequest,
    download_package_response::{Header, Part},
};

/// Fetch the package of a plugin
#[derive(Debug, Args)]
pub(super) struct Download {
    /// The plugin: its id, or its manifest id or name if no other has it
    #[arg(value_name = "ID")]
    plugin: String,
    /// Where to write it; - for standard output [default: a name after the manifest id]
    #[arg(long, short = 'O', value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Download {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let id = plugin_id(&context.api, &self.plugin).await?;
        let (header, bytes) = fetch(&context.api, id).await?;
        match self.file {
            Some(path) if path == Path::new("-") => return Ok(context.ui.raw(&bytes)?),
            Some(path) => fs::write(&path, &bytes).and_then(|()| said(context, &path, bytes.len()))?,
            None => {
                let path = file_name(&header)?;
                write_new(&path, &bytes)?;
                said(context, &path, bytes.len())?;
            }
        }
        Ok(())
    }
}

async fn fetch(api: &Api, plugin_id: String) -> Result<(Header, Vec<u8>), Failure> {
    let mut parts = api.streams().download_package(DownloadPackageRequest { plugin_id }).await?.into_inner();
    let (mut header, mut bytes) = (Header::default(), Vec::new());
    while let Some(part) = parts.next().await {
        match part?.part {
            Some(Part::Header(first)) => header = first,
            Some(Part::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
            None => {}
        }
    }
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

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|error| {
        Failure::new(format!("can't create {}: {error}", path.display()))
            .hint("name another file with -O, or the same one to replace it")
            .exit(Exit::Conflict)
    })?;
    Ok(file.write_all(bytes)?)
}

fn said(context: &Context, path: &Path, size: usize) -> std::io::Result<()> {
    context.ui.line(&format!("{} ({size} bytes)", path.display()))
}
