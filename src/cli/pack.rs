//! `plugd package`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{
    failure::Failure,
    file,
    package::{Folder, ManifestArg, Package},
    ui::Ui,
    usage,
};

/// Make a package of a plugin's folder
///
/// A manifest in YAML becomes manifest.json in it. Left out are whatever has a name that begins with a dot (not within
/// node_modules), what editors leave behind (*~, *.swp, #*#), __pycache__, target at the top, node_modules/.bin, links, and the
/// package itself. A .plugdignore at the top has patterns as a .gitignore has: it leaves out more, or brings something
/// back (!.well-known). What a server would refuse is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugd package my-plugin\n  plugd package my-plugin -O dist/my-plugin.zip --force")]
pub(super) struct Pack {
    /// Folder of the plugin
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    manifest: ManifestArg,
    /// Where to write it; - for standard output [default: a name after the manifest id]
    #[arg(long, short = 'O', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl Pack {
    pub(super) fn run(self, ui: &Ui) -> Result<(), Failure> {
        let except: Vec<PathBuf> = self.file.iter().cloned().collect();
        let folder = Folder { dir: &self.dir, manifest: self.manifest.manifest.as_deref(), except: &except };
        let package = Package::of_folder(&folder)?;
        package.warn(ui);
        let path = self.file.or_else(|| package.manifest_id().map(|id| Path::new(&format!("{id}.zip")).to_owned()));
        let path =
            path.ok_or_else(|| usage("the manifest has no id to name the file after").hint("name it with -O"))?;
        if path == Path::new("-") {
            return Ok(ui.raw(&package.bytes)?);
        }
        file::write(&path, &package.bytes, self.force)?;
        let size = package.bytes.len();
        if ui.is_json() {
            return Ok(
                ui.json(&json!({"file": path, "size": size, "digest": package.digest, "left_out": package.left_out}))?
            );
        }
        Ok(ui.line(&format!("{} ({size} bytes)", path.display()))?)
    }
}
