//! Where an entry of an archive belongs in the install directory (CONTRACT 6, "Path safety").

/// Most bytes of one part of a path: what Linux file systems take.
const MAX_PART: usize = 255;

/// Most bytes of a path, so that with the install directory before it, it stays below what Linux takes.
const MAX_PATH: usize = 1024;

/// What is said of a path that leaves the install directory.
pub(super) const ESCAPES: &str = "archive entry escapes extraction directory";

/// The path that this name has in the install directory, as if joined to it and cleaned: an absolute name lands inside,
/// a backslash is an ordinary character. Empty if it is the install directory itself.
///
/// # Errors
/// What is wrong with the name.
pub(super) fn clean(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.contains('\0') {
        return Err("its name has a NUL character");
    }
    let path = join("", name).ok_or(ESCAPES)?;
    match path.len() > MAX_PATH || path.split('/').any(|part| part.len() > MAX_PART) {
        true => Err("its name is too long"),
        false => Ok(path),
    }
}

/// Does a link at `path` with this text lead out of the install directory?
pub(super) fn leads_out(path: &str, target: &str) -> bool {
    let folder = parent(path).unwrap_or_default();
    target.starts_with('/') || join(folder, target).is_none()
}

/// `name` within the clean path `folder`, cleaned; none if it leaves the root, even for a moment: the root's own name
/// is nothing that an archive may know.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Why plugd keeps this path of the install directory for itself, if it does: its markers, and the logs.
#[must_use]
pub fn reserved(path: &str) -> Option<&'static str> {
    let top = path.split('/').next().unwrap_or_default();
    if top == "logs" {
        Some("\"logs\" is where plugd writes the plugin's logs; leave it out or name it otherwise")
    } else if top == ".sdxlock" || top.starts_with(".plugd") {
        Some("the name is reserved for plugd; leave it out or name it otherwise")
    } else {
        None
    }
}

/// The folder that a path is in; none for what is at the top.
pub(super) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
