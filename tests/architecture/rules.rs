//! The rules.

use std::path::Path;

use crate::{
    paths::{Named, paths},
    source::Source,
};

/// Which modules of the crate a module may use, beside itself. A module that is not listed may not exist.
const ARROWS: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("files", &["domain"]),
    ("store", &["domain"]),
    ("runtime", &["domain", "files"]),
    ("link", &["domain"]),
    ("logs", &["domain", "files"]),
    ("fetch", &["domain"]),
    ("supervisor", &["domain", "store", "runtime", "link", "logs"]),
    ("bus", &["domain", "link", "supervisor"]),
    ("grpc", &["domain", "store", "link", "logs", "fetch", "supervisor", "bus", "api", "server"]),
    // Of the domain only what numbers can be carried.
    ("api", &["domain"]),
    // Of the server only whose connection a request came on.
    ("rest", &["api", "server"]),
    ("config", &["domain", "files"]),
    ("tls", &["domain", "files"]),
    ("server", &["tls"]),
    // Of the domain only what is plain: ids, digests, and what manifests and packages must be.
    ("cli", &["domain", "files", "api", "config", "tls", "app"]),
    ("main", &["cli"]),
];
/// The modules that may use everything: `app` puts it all together, `lib` lists it.
const KNOWS_EVERYTHING: [&str; 2] = ["app", "lib"];

/// What the domain must not touch: other crates' runtimes and wires, the clock, randomness, the environment.
const IMPURE: [&[&str]; 14] = [
    &["tokio"],
    &["tokio_util"],
    &["tokio_stream"],
    &["tonic"],
    &["sea_orm"],
    &["axum"],
    &["rand"],
    &["std", "env"],
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["xid", "new"],
    &["thread", "sleep"],
];

/// The crate's module that a file belongs to: `src/store/writer.rs` is `store`, `src/app.rs` is `app`.
pub(crate) fn module(path: &Path) -> String {
    let first = path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The imports of `source` that no arrow allows.
pub(crate) fn forbidden_imports(source: &Source) -> Vec<String> {
    let module = module(&source.path);
    if KNOWS_EVERYTHING.contains(&module.as_str()) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: the arrows do not know the module `{module}`", source.path.display())];
    };
    let is_allowed = |root: &str| root == module || allowed.contains(&root);
    let named = paths(&source.shipped);
    let roots = named.iter().filter_map(|named| Some((named, root(&source.path, named)?)));
    let forbidden = roots.filter(|(_, root)| !is_allowed(root));
    forbidden
        .map(|(named, root)| describe(source, named, &format!("is `{root}`, which `{module}` must not use")))
        .collect()
}

/// The module of the crate that a path leads to, if it leads through the crate's root.
fn root(path: &Path, named: &Named) -> Option<String> {
    let segments: Vec<&str> =
        named.segments.iter().map(String::as_str).skip_while(|segment| *segment == "self").collect();
    match *segments.first()? {
        // The binary names the library by its name.
        "crate" | "plugd" => segments.get(1).map(|root| (*root).to_owned()),
        "super" => {
            let climbs = segments.iter().take_while(|segment| **segment == "super").count();
            let depth = module_path(path).len() + named.inside.len();
            (climbs >= depth).then(|| segments.get(climbs).map(|root| (*root).to_owned()))?
        }
        _ => None,
    }
}

/// Modules from the crate's root down to the file: `src/a/b.rs` is `a::b`, `src/a/mod.rs` is `a`.
fn module_path(path: &Path) -> Vec<String> {
    let without_extension = path.with_extension("");
    let parts = without_extension.components().skip(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.filter(|part| part != "mod" && part != "lib" && part != "main").collect()
}

/// What makes shipped code of the domain impure.
pub(crate) fn impurities(source: &Source) -> Vec<String> {
    let named = paths(&source.shipped);
    let impure = named.iter().filter(|named| IMPURE.iter().any(|wanted| is_impure(named, wanted)));
    impure.map(|named| describe(source, named, "is impure")).collect()
}

fn is_impure(named: &Named, wanted: &[&str]) -> bool {
    match wanted {
        // A crate's name alone counts where a path starts, not as the name of a variable.
        [krate] => named.segments.len() > 1 && named.segments[0] == *krate,
        _ => named.contains(wanted),
    }
}

/// What is left unwritten, in tests too.
pub(crate) fn stubs(source: &Source) -> Vec<String> {
    let pairs = source.all.windows(2);
    let stubs = pairs.filter(|pair| matches!(pair[0].word(), Some("todo" | "unimplemented")) && pair[1].is('!'));
    stubs.map(|pair| format!("{}:{}: unwritten", source.path.display(), pair[0].line)).collect()
}

fn describe(source: &Source, named: &Named, what: &str) -> String {
    format!("{}:{}: `{}` {what}", source.path.display(), named.line, named.segments.join("::"))
}
