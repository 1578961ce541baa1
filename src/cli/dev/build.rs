//! The command that builds a plugin.

use std::path::Path;

use tokio::process::Command;

use crate::cli::failure::Failure;

/// Runs a command in a folder. Its output goes to the terminal as it is; it ends with the session.
///
/// # Errors
/// It can't be run or fails.
pub(super) async fn build(command: &str, dir: &Path) -> Result<(), Failure> {
    let status = Command::new("sh").arg("-c").arg(command).current_dir(dir).kill_on_drop(true).status().await?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{command}` failed: {status}")).hint("mend it and save a file; it is tried again then"))
}
