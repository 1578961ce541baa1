//! What no package wants: what tools and editors leave in a folder.

use std::{ffi::OsStr, path::Path};

/// Folders that tools make.
const TOOLS: [&str; 3] = ["node_modules", "target", "__pycache__"];

/// Does no package want what is at this path within its folder? Names that begin with a dot (repositories, virtual
/// environments, swap files), what editors leave behind, and what tools make.
#[must_use]
pub(in crate::cli) fn is_ignored(path: &Path) -> bool {
    path.iter().any(is_dropping)
}

fn is_dropping(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_backup = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".swo");
    let is_autosave = name.starts_with('#') && name.ends_with('#');
    name.starts_with('.') || is_backup || is_autosave || TOOLS.contains(&name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tools_and_editors_leave_is_ignored_wherever_it_is() {
        let left = [
            ".git/HEAD",
            ".venv/bin/python",
            ".main.py.swp",
            "main.py.swp",
            "lib/main.py~",
            "lib/#main.py#",
            ".#main.py",
            "node_modules/x/index.js",
            "lib/__pycache__/a.pyc",
            "target/debug/x",
            ".DS_Store",
            ".next/build",
            ".plugd-dev/x",
        ];
        for path in left {
            assert!(is_ignored(Path::new(path)), "{path}");
        }
        for path in ["main.py", "lib/a.b", "swp", "a~b", "targets/x", "#1.txt"] {
            assert!(!is_ignored(Path::new(path)), "{path}");
        }
    }
}
