//! CONTRACT 7, the install directory and the process in it.
//!
//! Held elsewhere: permission bits and paths of what is laid out (`s06_archive::names`), what an update takes away and
//! keeps (section 3.10), both outputs of a process in its log (`s04_logs`), the whole process group at a stop and at
//! the end of plugd (`misbehaviour`, `killed`, `shutdown`), an address that is not to be dialled
//! (`app::boot::tests::plugins_dial_an_address_that_can_be_dialled`).

mod directory;
mod process;

use serde_json::{Value, json};

use crate::harness::{Plugd, chaos_manifest, zipped};

/// Installs a package of these programs, the manifest with these members; returns its id.
async fn install(plugd: &Plugd, members: &Value, files: &[(&str, &str, u32)]) -> String {
    let mut manifest = chaos_manifest(&["tame"]);
    manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let manifest = manifest.to_string();
    let mut entries = vec![("manifest.json", manifest.as_bytes(), 0o644)];
    entries.extend(files.iter().map(|(name, text, mode)| (*name, text.as_bytes(), *mode)));
    plugd.rest().install(zipped(&entries)).await
}

/// Installs a script of the shell that is the plugin's command, before it behaves.
async fn script(plugd: &Plugd, text: &str) -> String {
    install(plugd, &json!({"command": "sh", "args": ["-c", format!("{text}\nexec chaos tame")]}), &[]).await
}

async fn activate(plugd: &Plugd, id: &str) {
    plugd.rest().set_active(id, "active").await.expect(200);
}
