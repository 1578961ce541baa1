//! Fails on imports against the arrows, on impure code in `domain`, on files too long to read, and on tests that SECURITY.md names
//! and that are not there.
//!
//! The crate's modules are followed from `src/lib.rs` as the compiler follows them; what stands under `#[cfg(test)]` is not
//! shipped and may import what it likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use syn::{UseTree, visit::Visit};

/// Which modules of the crate a module may use, beside itself. A module that is not listed may not exist.
const ARROWS: [(&str, &[&str]); 28] = [
    ("domain", &[]),
    ("files", &["domain"]),
    ("boot_time", &[]),
    ("store", &["domain", "files", "boot_time", "telemetry"]),
    ("backup", &["domain", "store"]),
    ("runtime", &["domain", "files", "boot_time"]),
    ("link", &["domain", "telemetry"]),
    ("logs", &["domain", "files"]),
    ("outbound", &["domain", "tls"]),
    ("fetch", &["domain", "outbound"]),
    ("supervisor", &["domain", "store", "runtime", "link", "telemetry"]),
    ("bus", &["domain", "link", "supervisor", "telemetry"]),
    ("storyden", &["domain", "link", "bus"]),
    ("hooks", &["domain", "store", "outbound", "supervisor"]),
    (
        "grpc",
        &["domain", "store", "link", "logs", "outbound", "fetch", "supervisor", "bus", "hooks", "api", "telemetry"],
    ),
    // Of the domain only what JSON can be carried.
    ("api", &["domain"]),
    // Of the domain only the rule about origins.
    ("rest", &["domain", "api", "telemetry"]),
    // Of `rest` only the header of proxies.
    ("cluster", &["domain", "files", "store", "supervisor", "api", "grpc", "rest", "telemetry", "tls"]),
    // On the client and the credentials of `rest`.
    ("console", &["domain", "api", "rest", "telemetry"]),
    ("telemetry", &["domain", "files"]),
    ("config", &["domain", "files", "telemetry"]),
    ("tls", &["domain", "files"]),
    ("listener", &["tls", "telemetry"]),
    // Of the domain only what is plain: ids, digests, and what manifests and packages must be.
    ("cli", &["domain", "files", "fetch", "api", "config", "telemetry", "tls", "storyden", "app", "doctor"]),
    // Looks at what `app` would use, and runs a plugin as it would.
    ("doctor", &["domain", "files", "store", "runtime", "config", "tls", "app"]),
    // `app` puts it all together.
    (
        "app",
        &[
            "domain",
            "files",
            "boot_time",
            "store",
            "backup",
            "runtime",
            "link",
            "logs",
            "fetch",
            "supervisor",
            "bus",
            "storyden",
            "hooks",
            "grpc",
            "cluster",
            "api",
            "rest",
            "console",
            "config",
            "tls",
            "telemetry",
            "listener",
        ],
    ),
    // Built for the fuzzer only.
    ("fuzzing", &["domain", "runtime", "link", "logs", "grpc", "api", "rest"]),
    ("lib", &[]),
];

/// What the domain must not name: other crates' runtimes and wires, the clock, randomness, the environment.
const IMPURE: [&str; 14] = [
    "tokio::",
    "tokio_util::",
    "tokio_stream::",
    "tonic::",
    "sea_orm::",
    "axum::",
    "rand::",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "xid::new",
    "thread::sleep",
];

/// Lines that a file may have.
const LONGEST_FILE: usize = 400;

#[test]
fn imports_follow_the_arrows() {
    let forbidden = shipped_paths().into_iter().filter(|(module, path)| !is_allowed(module, path));
    assert_none(forbidden.map(|(module, path)| format!("{}: `{}`", module.join("::"), path.join("::"))));
}

#[test]
fn the_domain_is_pure() {
    let domain = shipped_paths().into_iter().filter(|(module, _)| root(module) == "domain");
    let named = domain.map(|(module, path)| (module, path.join("::")));
    // What it was built for is a constant.
    let named = named.filter(|(_, path)| !path.starts_with("std::env::consts::"));
    let impure = named.filter(|(_, path)| {
        IMPURE.iter().any(|impure| path.starts_with(impure) || path.contains(&format!("::{impure}")))
    });
    assert_none(impure.map(|(module, path)| format!("{}: `{path}`", module.join("::"))));
}

#[test]
fn no_file_is_too_long_to_read() {
    let files = ["src", "tests", "examples", "benches"]
        .map(|folder| rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)));
    let lengths = files.into_iter().flatten().map(|file| (fs::read_to_string(&file).unwrap().lines().count(), file));
    let too_long = lengths.filter(|(lines, _)| *lines > LONGEST_FILE);
    assert_none(too_long.map(|(lines, file)| format!("{}: {lines} lines, {LONGEST_FILE} at most", file.display())));
}

/// SECURITY.md says of each claim which test shows it.
#[test]
fn the_tests_that_security_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let files = ["src", "tests"].into_iter().flat_map(|folder| rust_files(&root.join(folder)));
    let sources: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    let of_a_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let quoted = text.split('`').skip(1).step_by(2);
    let names: Vec<_> = quoted.filter(|word| word.matches('_').count() > 2 && word.chars().all(of_a_name)).collect();
    assert!(names.len() > 50, "{names:?}");
    let missing = names.into_iter().filter(|name| !sources.contains(&format!("fn {name}(")));
    assert_none(missing.map(|name| format!("SECURITY.md names {name}, which is no test")));
}

fn assert_none(violations: impl Iterator<Item = String>) {
    let violations: Vec<String> = violations.collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// The crate's module that stands right below its root.
fn root(module: &[String]) -> &str {
    module.first().map_or("lib", String::as_str)
}

fn is_allowed(module: &[String], path: &[String]) -> bool {
    let climbs = path.iter().take_while(|segment| *segment == "super").count();
    let target = match path.first().map(String::as_str) {
        Some("crate") => path.get(1),
        Some("super") if climbs >= module.len() => path.get(climbs),
        _ => None,
    };
    // `pub(crate)` is a path too, and leads nowhere.
    let Some(target) = target else { return true };
    let allowed = ARROWS.iter().find(|(name, _)| *name == root(module));
    target == root(module) || allowed.is_some_and(|(_, allowed)| allowed.contains(&target.as_str()))
}

/// Every path that shipped code names, with the module that names it; `use a::{b, c}` is `a::b` and `a::c`.
fn shipped_paths() -> Vec<(Vec<String>, Vec<String>)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut reader = Reader { folder: source.clone(), module: Vec::new(), paths: Vec::new() };
    reader.file(&source.join("lib.rs"));
    assert!(reader.paths.len() > 10_000, "only {} paths were found", reader.paths.len());
    reader.paths
}

struct Reader {
    /// Where the files of the module's own modules are.
    folder: PathBuf,
    module: Vec<String>,
    paths: Vec<(Vec<String>, Vec<String>)>,
}

impl Reader {
    fn file(&mut self, path: &Path) {
        let text = fs::read_to_string(path).unwrap();
        self.visit_file(&syn::parse_file(&text).unwrap());
    }

    fn found(&mut self, path: Vec<String>) {
        self.paths.push((self.module.clone(), path));
    }

    fn tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.found(with(&name.ident)),
            UseTree::Rename(rename) => self.found(with(&rename.ident)),
            UseTree::Glob(_) => self.found([before, &["*".to_owned()]].concat()),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, before)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let inside = self.folder.join(&name);
        let outside = std::mem::replace(&mut self.folder, inside.clone());
        self.module.push(name);
        match &module.content {
            Some((_, items)) => items.iter().for_each(|item| self.visit_item(item)),
            None => self.file(
                &Some(inside.with_extension("rs")).filter(|file| file.is_file()).unwrap_or(inside.join("mod.rs")),
            ),
        }
        self.module.pop();
        self.folder = outside;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.found(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    /// What stands in a macro's brackets is not parsed; the paths in it are found by their words.
    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        let words = found.tokens.to_string().replace(" :: ", "::");
        let paths = words.split(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter));
        paths
            .filter(|path| path.contains("::"))
            .for_each(|path| self.found(path.split("::").map(str::to_owned).collect()));
    }
}

/// Does an item stand under `#[cfg(test)]`? Of the kinds that do here.
fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    let mut conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions.any(|condition| condition.parse_args::<syn::Path>().is_ok_and(|on| on.is_ident("test")))
}
