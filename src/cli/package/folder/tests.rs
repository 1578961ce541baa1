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
