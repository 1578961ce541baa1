//! What no package wants: what tools and editors leave in a folder.

use std::{ffi::OsStr, path::Path};

/// Folders that tools make, wherever they are.
const TOOLS: [&str; 2] = ["node_modules", "__pycache__"];
/// What Cargo makes at the top of a folder; elsewhere it may be anything.
const TARGET: &str = "target";
/// Names with a dot of which everybody knows that they are no part of a plugin.
const WELL_KNOWN: [&str; 12] = [
    ".git",
    ".gitignore",
    ".gitattributes",
    ".github",
    ".venv",
    ".next",
    ".DS_Store",
    ".idea",
    ".vscode",
    ".pytest_cache",
    ".ruff_cache",
    ".plugd-dev",
];

/// Does no package want what is at this path within its folder? Names that begin with a dot (repositories, secrets,
/// virtual environments, swap files), what editors leave behind, and what tools make.
#[must_use]
pub(in crate::cli) fn is_ignored(path: &Path) -> bool {
    path.iter().any(|name| is_dropping(&name.to_string_lossy())) || path.starts_with(TARGET)
}

/// Might the author miss it?
pub(super) fn is_worth_a_word(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && !WELL_KNOWN.contains(&name.as_ref()) && !is_of_editors(&name) && !name.starts_with(".#")
}

fn is_dropping(name: &str) -> bool {
    name.starts_with('.') || is_of_editors(name) || TOOLS.contains(&name)
}

fn is_of_editors(name: &str) -> bool {
    let is_backup = name.ends_with('~') || name.ends_with(".swp") || name.ends_with(".swo");
    is_backup || (name.starts_with('#') && name.ends_with('#'))
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
        for path in ["main.py", "lib/a.b", "swp", "a~b", "targets/x", "assets/target/x", "#1.txt"] {
            assert!(!is_ignored(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_what_is_not_well_known_is_worth_a_word() {
        for name in [".well-known", ".env.production"] {
            assert!(is_worth_a_word(OsStr::new(name)), "{name}");
        }
        for name in [".git", ".DS_Store", ".main.py.swp", ".#main.py", "node_modules", "main.py~"] {
            assert!(!is_worth_a_word(OsStr::new(name)), "{name}");
        }
    }
}
