//! CONTRACT 4, the log stream, byte for byte, and the files behind it.
//!
//! Held elsewhere: lines that a disk does not take, and everything about cursors, which only gRPC has (`logs`,
//! `logs::tests`); a line that tries to break out of its event, and comments on an idle stream (`rest::tests::logs`);
//! the end of the stream when plugd shuts down (`shutdown::sigterm_ends_server_sent_events_too`).

mod files;
mod raw;
mod stream;

use serde_json::json;

use crate::harness::{Plugd, chaos_manifest, packaged};

/// Installs a plugin that runs this script of the shell, which prints at once, and behaves then.
async fn printing(plugd: &Plugd, script: &str) -> String {
    let mut manifest = chaos_manifest(&[]);
    manifest["command"] = json!("sh");
    manifest["args"] = json!(["-c", format!("{script}\nexec chaos tame")]);
    plugd.rest().install(packaged(&manifest)).await
}

/// Activates and deactivates, which is a run.
async fn run(plugd: &Plugd, id: &str) {
    for state in ["active", "inactive"] {
        plugd.rest().set_active(id, state).await.expect(200);
    }
}

/// The lines that begin like this.
fn beginning<'a>(lines: &[&'a str], start: &str) -> Vec<&'a str> {
    lines.iter().filter(|line| line.starts_with(start)).copied().collect()
}
