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

const MIB: u64 = 1024 * 1024;

fn mk_file(name: &str, size: u64) -> File {
    File { name: name.to_owned(), path: name.into(), size, mode: 0o644 }
}

#[test]
fn too_many_files_and_too_large_ones_are_told_with_what_to_do() {
    let mut files: Vec<_> = (0..2047).map(|n| mk_file(&format!("node_modules/a/{n}.js"), 1)).collect();
    check_size(&files).unwrap();
    files.push(mk_file("one-more", 1));
    let failure = check_size(&files).unwrap_err();
    let what = "there are 2049 files, and a package has at most 2048";
    assert_eq!((failure.what.as_str(), failure.exit), (what, Exit::Refused));
    assert!(failure.hint.unwrap().contains("npm install --omit=dev"));

    check_size(&[mk_file("a", 50 * MIB)]).unwrap();
    let one = check_size(&[mk_file("lib/a", 50 * MIB + MIB / 2)]).unwrap_err();
    assert_eq!(one.what, "lib/a has 50.50 MiB, and a file of a package at most 50.00 MiB");
    let mut files: Vec<_> = (0..4).map(|n| mk_file(&format!("lib/{n}"), 50 * MIB)).collect();
    check_size(&files).unwrap();
    files.push(mk_file("x", MIB));
    assert_eq!(
        check_size(&files).unwrap_err().what,
        "the files have 201.00 MiB, and those of a package at most 200.00 MiB"
    );
}
