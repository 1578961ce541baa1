//! The checker, checked on small pieces of source.

use std::path::Path;

use crate::{
    paths::paths,
    rules::{forbidden_imports, impurities, module, stubs},
    source::{Source, tokens},
};

fn mk_source(path: &str, text: &str) -> Source {
    Source::parse(Path::new(path), text)
}

/// The modules that `text`, found at `path`, must not use.
fn forbidden(path: &str, text: &str) -> Vec<String> {
    let found = forbidden_imports(&mk_source(path, text));
    found.iter().map(|line| line.split('`').nth(3).unwrap_or(line).to_owned()).collect()
}

fn named(text: &str) -> Vec<String> {
    paths(&tokens(text)).iter().map(|named| named.segments.join("::")).collect()
}

#[test]
fn a_forbidden_import_is_found_with_its_line() {
    let found = forbidden_imports(&mk_source("src/rest/mod.rs", "\nuse crate::domain::State;"));
    assert_eq!(found, ["src/rest/mod.rs:2: `crate::domain::State` is `domain`, which `rest` must not use"]);
}

#[test]
fn an_allowed_import_is_not_found() {
    assert!(forbidden("src/store/writer.rs", "use crate::domain::State; use crate::store::entity;").is_empty());
    assert!(forbidden("src/grpc/mod.rs", "use crate::{api::v1, bus::Bus, supervisor::Handle};").is_empty());
    assert!(forbidden("src/cli/serve.rs", "use crate::{app, config::Config};").is_empty());
    assert!(forbidden("src/main.rs", "fn main() { plugd::cli::run() }").is_empty());
}

#[test]
fn siblings_must_not_use_each_other_nor_what_is_above_them() {
    assert_eq!(forbidden("src/store/mod.rs", "use crate::link::Session;"), ["link"]);
    assert_eq!(forbidden("src/domain/id.rs", "use crate::store::Store;"), ["store"]);
    assert_eq!(forbidden("src/supervisor/actor.rs", "use crate::bus::Bus;"), ["bus"]);
    assert_eq!(forbidden("src/cli/get.rs", "use crate::supervisor::Handle;"), ["supervisor"]);
    assert_eq!(forbidden("src/main.rs", "use plugd::store::Store;"), ["store"]);
}

#[test]
fn groups_are_opened_however_deep() {
    let text = "pub(crate) use crate::{api::{self, v1}, domain::{id::{PluginId}, State as Shown}};";
    assert_eq!(forbidden("src/rest/sse.rs", text), ["domain", "domain"]);
}

#[test]
fn inline_paths_count_like_imports() {
    assert_eq!(forbidden("src/rest/sse.rs", "fn f(x: Vec<crate::domain::State>) {}"), ["domain"]);
    assert_eq!(forbidden("src/rest/sse.rs", "impl From<$crate::store::Row> for Answer {}"), ["store"]);
    assert_eq!(forbidden("src/rest/sse.rs", "use crate::*;"), ["*"]);
}

#[test]
fn climbing_to_the_root_counts_and_climbing_less_does_not() {
    assert_eq!(forbidden("src/rest/mod.rs", "use super::domain::State;"), ["domain"]);
    assert_eq!(forbidden("src/rest/sse.rs", "use super::super::{domain::State, api::v1};"), ["domain"]);
    assert_eq!(forbidden("src/rest/sse.rs", "use self::super::super::store::Store;"), ["store"]);
    assert!(forbidden("src/rest/sse.rs", "use super::domain::State;").is_empty());
    assert!(forbidden("src/rest/sse.rs", "mod inner { use super::super::domain::State; }").is_empty());
    assert_eq!(forbidden("src/rest/sse.rs", "mod a { fn f() {} } use super::super::bus::Bus;"), ["bus"]);
}

#[test]
fn comments_strings_and_tests_are_not_code() {
    for text in [
        "// use crate::domain::State;",
        "/// [`crate::domain::State`]",
        "/* /* nested */ use crate::domain::State; */",
        "const A: &str = \"\\\" crate::domain::State\";",
        "const A: &str = r#\"\" crate::domain::State\"#;",
        "const A: &[u8] = br\"crate::domain::State\";",
        "#[cfg(test)] mod tests { use crate::domain::State; }",
        "#[cfg(test)] #[path = \"x.rs\"] mod tests;",
        "#[cfg(test)] use crate::domain::State;",
    ] {
        assert!(forbidden("src/rest/sse.rs", text).is_empty(), "{text}");
    }
    assert!(forbidden("src/rest/sse_tests.rs", "use crate::domain::State;").is_empty());
}

#[test]
fn code_after_comments_strings_and_tests_is_seen() {
    for before in [
        "/* x */",
        "const A: &str = \"\\\\\";",
        "const A: char = '\"';",
        "const A: char = '\\'';",
        "fn f<'a>(x: &'a str) {}",
        "const A: &str = r\"\\\";",
        "#[cfg(test)] mod tests { fn f() {} }",
        "#[cfg(test)] mod tests;",
        "let r = bar;",
    ] {
        assert_eq!(forbidden("src/rest/sse.rs", &format!("{before} use crate::bus::Bus;")), ["bus"], "{before}");
    }
}

#[test]
fn a_file_that_only_tests_declare_is_not_shipped() {
    let declaring = mk_source("src/rest/sse.rs", "mod a; #[cfg(test)] mod table; #[cfg(test)] mod inner { fn f() {} }");
    assert_eq!(declaring.test_files, [Path::new("src/rest/sse/table")]);
    for (path, is_shipped) in [
        ("src/rest/sse/table.rs", false),
        ("src/rest/sse/table/mod.rs", false),
        ("src/rest/sse/a.rs", true),
        ("src/rest/table.rs", true),
    ] {
        let source = mk_source(path, "use crate::bus::Bus;").without(&declaring.test_files);
        assert_eq!(forbidden_imports(&source).len(), usize::from(is_shipped), "{path}");
    }
    assert_eq!(mk_source("src/rest/mod.rs", "#[cfg(test)] mod table;").test_files, [Path::new("src/rest/table")]);
}

#[test]
fn an_unknown_module_is_refused() {
    assert_eq!(module(Path::new("src/utils.rs")), "utils");
    assert_eq!(forbidden("src/utils.rs", ""), ["src/utils.rs: the arrows do not know the module `utils`"]);
}

#[test]
fn paths_are_opened_from_groups() {
    assert_eq!(
        named("std::{env, io::{self, Read as _}, fs as files, *}"),
        ["std::env", "std::io::self", "std::io::Read", "std::fs", "std::*"]
    );
}

#[test]
fn impure_code_is_found_in_the_domain() {
    for text in [
        "use tokio::time;",
        "use std::{env, fmt};",
        "let now = std::time::Instant::now();",
        "let now = Timestamp::now();",
        "let now: SystemTime = SystemTime::now();",
        "let id = xid::new();",
        "fn f(x: sea_orm::DbErr) {}",
    ] {
        assert_eq!(impurities(&mk_source("src/domain/id.rs", text)).len(), 1, "{text}");
    }
    for text in ["let tokio = 1;", "use jiff::Timestamp;", "fn f(now: Timestamp) {}", "use std::fmt;"] {
        assert!(impurities(&mk_source("src/domain/id.rs", text)).is_empty(), "{text}");
    }
}

#[test]
fn stubs_are_found_where_they_are_code() {
    let stub = ["to", "do!()"].concat();
    assert_eq!(stubs(&mk_source("src/a.rs", &format!("fn f() {{\n{stub}\n}}"))), ["src/a.rs:2: unwritten"]);
    assert!(stubs(&mk_source("src/a.rs", &format!("// {stub}\nlet todo = 1;"))).is_empty());
}
