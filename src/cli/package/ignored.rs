//! What no package wants: what tools and editors leave in a folder, and what the author names in `.plugdignore`.

use std::path::{Path, PathBuf};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use super::text;
use crate::cli::failure::{Exit, Failure};

/// The author's own patterns, as in a `.gitignore`, at the top of the folder. They come after [`DEFAULTS`], so that a
/// negated one (`!.well-known`) brings back what those leave out.
pub(in crate::cli) const PLUGDIGNORE: &str = ".plugdignore";

/// What is left out of every package, as lines of a `.gitignore`: repositories, secrets, virtual environments and caches, all
/// of which have a dot, what editors leave behind, and what Python and Cargo make. What a plugin runs with stays: `node_modules`
/// with the folders in it that begin with a dot, like `.prisma`, but not its programs and caches.
const DEFAULTS: [&str; 10] = [
    ".*",
    "!**/node_modules/**/.*",
    "**/node_modules/.bin/",
    "**/node_modules/.cache/",
    "*~",
    "*.swp",
    "*.swo",
    r"\#*#",
    "__pycache__/",
    // Only at the top: elsewhere it may be anything.
    "/target/",
];

/// The patterns of one folder.
#[derive(Debug)]
pub(in crate::cli) struct Ignored {
    dir: PathBuf,
    patterns: Gitignore,
}

impl Ignored {
    /// The patterns of this folder.
    ///
    /// # Errors
    /// Its `.plugdignore` can't be read, or has a line that is no pattern.
    pub(in crate::cli) fn of(dir: &Path) -> Result<Self, Failure> {
        let mut builder = GitignoreBuilder::new(dir);
        for line in DEFAULTS {
            builder.add_line(None, line).map_err(|error| Failure::new(error.to_string()))?;
        }
        let path = dir.join(PLUGDIGNORE);
        // A byte order mark would become part of the first pattern.
        for line in if path.is_file() { text(&path)? } else { String::new() }.lines() {
            builder.add_line(None, line).map_err(|error| no_pattern(&path, line, &error))?;
        }
        let patterns = builder.build().map_err(|error| no_pattern(&path, "", &error))?;
        Ok(Self { dir: dir.to_owned(), patterns })
    }

    /// Is this left out, of a folder that is not itself left out?
    pub(super) fn has(&self, path: &Path, is_dir: bool) -> bool {
        self.patterns.matched(self.within(path), is_dir).is_ignore()
    }

    /// Is this left out, or a folder that it is in?
    pub(in crate::cli) fn covers(&self, path: &Path) -> bool {
        let within = self.within(path);
        let covered = |path: &Path| self.patterns.matched_path_or_any_parents(path, path.is_dir());
        within.is_relative() && matches!(covered(within), Match::Ignore(_))
    }

    fn within<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }
}

fn no_pattern(path: &Path, line: &str, error: &ignore::Error) -> Failure {
    Failure::new(format!("{} has a line that is no pattern: {line:?}: {error}", path.display()))
        .hint("write a pattern a line, as in a .gitignore")
        .exit(Exit::Refused)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mk_ignored(own: &str) -> (tempfile::TempDir, Ignored) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PLUGDIGNORE), own).unwrap();
        let ignored = Ignored::of(folder.path()).unwrap();
        (folder, ignored)
    }

    fn check(own: &str, left_out: &[&str], kept: &[&str]) {
        let (folder, ignored) = mk_ignored(own);
        for path in left_out {
            assert!(ignored.covers(&folder.path().join(path)), "{path}");
        }
        for path in kept {
            assert!(!ignored.covers(&folder.path().join(path)), "{path}");
        }
    }

    #[test]
    fn what_tools_and_editors_leave_is_ignored_wherever_it_is() {
        let left_out = [
            ".git/HEAD",
            ".venv/bin/python",
            ".main.py.swp",
            "main.py.swp",
            "lib/main.py~",
            "lib/#main.py#",
            ".#main.py",
            "lib/__pycache__/a.pyc",
            "target/debug/x",
            ".DS_Store",
            ".next/build",
            ".plugd-dev/x",
            "node_modules/.bin/tsc",
            "lib/node_modules/.cache/x",
        ];
        let kept = ["main.py", "lib/a.b", "swp", "a~b", "targets/x", "assets/target/x", "#1.txt"];
        check("", &left_out, &kept);
    }

    #[test]
    fn what_node_runs_with_is_kept() {
        check("", &[], &["node_modules/x/index.js", "node_modules/.prisma/client/index.js", "a/node_modules/.x/y"]);
    }

    #[test]
    fn the_authors_patterns_add_to_the_usual_ones_and_bring_them_back() {
        let own = "\u{feff}*.ts\n# a remark\n\n!.well-known\n!/target/\n/target/*\n!/target/release/\n";
        check(own, &["src/a.ts", ".git/HEAD", "target/debug/x"], &[".well-known/x", "target/release/x", "a.js"]);
    }

    #[test]
    fn a_line_that_is_no_pattern_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(PLUGDIGNORE), "ok\n{a,b\n").unwrap();
        let failure = Ignored::of(folder.path()).unwrap_err();
        assert!(failure.what.contains(".plugdignore") && failure.what.contains("\"{a,b\""), "{failure}");
    }

    #[test]
    fn what_is_elsewhere_is_not_of_the_folder() {
        let (_folder, ignored) = mk_ignored("");
        assert!(!ignored.covers(Path::new("/elsewhere/.git")));
    }
}
