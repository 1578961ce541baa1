//! Names of entries as paths of the install directory.

use super::super::layout::*;

#[test]
fn a_name_is_joined_and_cleaned() {
    for (name, path) in [
        ("a", "a"),
        ("a/b", "a/b"),
        ("/etc/passwd", "etc/passwd"),
        ("./a//b/./c/", "a/b/c"),
        ("a/../b", "b"),
        ("a\\..\\..\\b", "a\\..\\..\\b"),
        ("...", "..."),
        ("/", ""),
        ("a/..", ""),
    ] {
        assert_eq!(clean(name).as_deref(), Ok(path), "{name}");
    }
}

#[test]
fn a_name_that_leaves_the_directory_is_refused() {
    for name in ["..", "../a", "a/../../b", "/../a", "a/../../a/b", "./../a"] {
        assert_eq!(clean(name), Err(ESCAPES), "{name}");
    }
}

#[test]
fn a_name_that_linux_could_not_create_is_refused() {
    for name in ["", "a\0b", &"a".repeat(256), &"a/".repeat(600)] {
        assert!(clean(name).is_err(), "{name:?}");
    }
    assert!(clean(&"a".repeat(255)).is_ok());
}

#[test]
fn a_link_leads_out_if_it_is_absolute_or_climbs_too_high() {
    assert!(!leads_out("a/b/link", "../../c"));
    assert!(!leads_out("link", "a/b"));
    for (path, target) in [("link", ".."), ("a/link", "../../b"), ("link", "/etc/passwd"), ("link", "a/../../b")] {
        assert!(leads_out(path, target), "{path} {target}");
    }
}

#[test]
fn the_names_of_plugd_are_reserved_at_the_top_only() {
    for path in [".sdxlock", ".plugd", ".plugd-run/a", "logs", "logs/output.log"] {
        assert!(reserved(path).is_some(), "{path}");
    }
    for path in ["a/.sdxlock", "a/logs/b", "logs.txt", "logsx", ".sdxlock2", "Logs/a"] {
        assert!(reserved(path).is_none(), "{path}");
    }
}
