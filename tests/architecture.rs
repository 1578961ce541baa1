//! Fails on what DESIGN section 1 forbids: imports against the arrows, impure code in `domain`, files too long to read.
//!
//! It reads the sources as text: comments and strings are cut out, imports and inline paths are looked at alike, and
//! `super::` is followed. What is under `#[cfg(test)]`, in the same file or another, may import what it likes: it is not
//! shipped. So may files named `tests.rs` or `*_tests.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources fails")]

#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tests.rs"]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::Source;

/// Lines that a file may have.
const LONGEST_FILE: usize = 400;
/// Lines that `src/main.rs` may have.
const LONGEST_MAIN: usize = 40;
/// Where the project's Rust is.
const FOLDERS: [&str; 4] = ["src", "tests", "examples", "benches"];

#[test]
fn imports_follow_the_arrows() {
    assert_none(rust_files(&["src"]).iter().flat_map(|file| rules::forbidden_imports(&file.source)));
}

#[test]
fn the_domain_is_pure() {
    let domain = rust_files(&["src"]).into_iter().filter(|file| rules::module(&file.source.path) == "domain");
    assert_none(domain.flat_map(|file| rules::impurities(&file.source)));
}

#[test]
fn nothing_is_left_unwritten() {
    assert_none(rust_files(&FOLDERS).iter().flat_map(|file| rules::stubs(&file.source)));
}

#[test]
fn no_file_is_too_long_to_read() {
    let too_long = rust_files(&FOLDERS).into_iter().filter_map(|file| {
        let path = &file.source.path;
        let most = if path == Path::new("src/main.rs") { LONGEST_MAIN } else { LONGEST_FILE };
        (file.lines > most).then(|| format!("{}: {} lines, {most} at most", path.display(), file.lines))
    });
    assert_none(too_long);
}

struct RustFile {
    lines: usize,
    /// Its path is relative to the project.
    source: Source,
}

fn rust_files(folders: &[&str]) -> Vec<RustFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in folders {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    assert!(!paths.is_empty(), "no source under {}", root.display());
    let files: Vec<RustFile> = paths.iter().map(|path| read(root, path)).collect();
    let test_files: Vec<PathBuf> = files.iter().flat_map(|file| file.source.test_files.clone()).collect();
    files.into_iter().map(|file| RustFile { source: file.source.without(&test_files), ..file }).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.ends_with("cli/new/templates") {
            // What new plugins begin with is no module of the crate.
        } else if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> RustFile {
    let text = fs::read_to_string(path).unwrap();
    let source = Source::parse(path.strip_prefix(root).unwrap(), &text);
    RustFile { lines: text.lines().count(), source }
}

fn assert_none(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}
