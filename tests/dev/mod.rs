//! `plugd dev`: a plugin runs from its folder, again each time that a file changes.

mod external;
mod folder;
mod templates;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::harness::{Api, Running, chaos_manifest, program, search_path};

/// A folder with a plugin in it, and what a session leaves beside it.
struct Home(tempfile::TempDir);

impl Home {
    /// One with the example `chaos` in this mode.
    fn new(mode: &[&str]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.plugin()).unwrap();
        home.write(&chaos_manifest(mode));
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn plugin(&self) -> PathBuf {
        self.path().join("plugin")
    }

    /// Writes the manifest.
    fn write(&self, manifest: &Value) {
        fs::write(self.plugin().join("manifest.json"), manifest.to_string()).unwrap();
    }

    /// A session on any port.
    fn dev(&self, args: &[&str]) -> Running {
        self.session(&[&["--listen", "127.0.0.1:0"], args].concat())
    }

    /// A session, for which programs in `bin` come first. What it logs is in the file `stderr`.
    fn session(&self, args: &[&str]) -> Running {
        let mut command = program("sh");
        command.args(["-c", "exec \"$@\" 2>stderr", "sh", env!("CARGO_BIN_EXE_plugd"), "dev", "plugin"]).args(args);
        let path = format!("{}/bin:{}", self.path().display(), search_path());
        // Plugins of tests are programs of the checkout, which may be in a temporary folder.
        command.env("PLUGD_SANDBOX_READ", env!("CARGO_MANIFEST_DIR"));
        Running::start(command.current_dir(self.path()).env("PATH", path))
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path().join("stderr")).unwrap()
    }
}

/// A client of the session's server, as its banner says.
async fn api_of(dev: &mut Running) -> Api {
    let url = url_of(dev).await;
    let token = dev.find("token ").await.split_whitespace().last().unwrap().to_owned();
    Api::at(&url, Some(&token))
}

async fn url_of(dev: &mut Running) -> String {
    let serving = dev.find("serving on http://127.0.0.1:").await;
    serving.split("serving on ").nth(1).unwrap().trim().to_owned()
}

/// Takes the usual port, unless somebody has it already.
fn take_usual_port() -> Option<TcpListener> {
    TcpListener::bind("127.0.0.1:8000").ok()
}
