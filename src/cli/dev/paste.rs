//! Commands as they can be pasted into any terminal, whatever folder it is in.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf, absolute},
};

use crate::cli::ui::quoted;

/// This program: by its name if a shell would find it by that, else by its path.
pub(super) fn plugd() -> String {
    let own = env::current_exe().and_then(|path| path.canonicalize());
    let named = found("plugd").and_then(|path| path.canonicalize().ok());
    match own {
        Ok(own) if named.as_ref() != Some(&own) => quoted_path(&own),
        _ => "plugd".to_owned(),
    }
}

/// grpcurl, by its path: where this program finds it another terminal may not. None if it isn't there.
pub(super) fn grpcurl() -> Option<String> {
    Some(quoted_path(&found("grpcurl")?))
}

/// A path as a word of a shell's, from the root.
pub(super) fn quoted_path(path: &Path) -> String {
    quoted(absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// A program on the search path.
fn found(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
