//! Rust as tokens: enough to see paths and blocks, without comments, strings and test code.

use std::path::{Path, PathBuf};

/// One token that matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// An identifier or keyword.
    Word(String),
    /// `::`.
    Separator,
    /// Any other character.
    Other(char),
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

impl Token {
    /// The word, if it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        if let Kind::Word(word) = &self.kind { Some(word) } else { None }
    }

    /// Whether it is this character.
    pub(crate) fn is(&self, character: char) -> bool {
        self.kind == Kind::Other(character)
    }
}

/// A file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Everything.
    pub(crate) all: Vec<Token>,
    /// What is shipped: nothing in a test file, and no block under `#[cfg(test)]`.
    pub(crate) shipped: Vec<Token>,
    /// Files that are not shipped because of a `#[cfg(test)] mod name;` here, without their extension.
    pub(crate) test_files: Vec<PathBuf>,
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let all = tokens(text);
        let (shipped, tests) = split(&all);
        let test_files =
            tests.iter().filter_map(|item| module_name(item)).map(|name| folder(path).join(name)).collect();
        let shipped = if is_named_test(path) { Vec::new() } else { shipped };
        Self { path: path.to_owned(), all, shipped, test_files }
    }

    /// Takes notice that `test_files`, declared elsewhere, are not shipped.
    pub(crate) fn without(mut self, test_files: &[PathBuf]) -> Self {
        let module = self.path.with_extension("");
        if test_files.iter().any(|file| module.starts_with(file)) {
            self.shipped.clear();
        }
        self
    }
}

/// For a `mod` with a `#[path]`, which the tokens do not show.
fn is_named_test(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests" || name.ends_with("_tests")
}

/// Where the modules that a file declares are.
fn folder(path: &Path) -> PathBuf {
    let is_top = path.file_stem().is_some_and(|stem| stem == "mod" || stem == "lib" || stem == "main");
    if is_top { path.parent().unwrap_or(path).to_owned() } else { path.with_extension("") }
}

/// The `name` of `mod name;`.
fn module_name(item: &[Token]) -> Option<&str> {
    let [.., module, name, end] = item else { return None };
    (module.word() == Some("mod") && end.is(';')).then(|| name.word())?
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: text, line: 1, found: Vec::new() };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.found
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Scanner<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some(length) = raw_string(self.rest) {
            self.skip(length);
        } else if self.rest.starts_with('"') {
            self.skip(quoted(self.rest, '"'));
        } else if let Some(length) = character(self.rest) {
            self.skip(length);
        } else {
            self.token();
        }
    }

    fn token(&mut self) {
        let length = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        if length > 0 {
            self.push(Kind::Word(self.rest[..length].to_owned()), length);
        } else if self.rest.starts_with("::") {
            self.push(Kind::Separator, 2);
        } else if let Some(other) = self.rest.chars().next() {
            if other.is_whitespace() {
                self.skip(other.len_utf8());
            } else {
                self.push(Kind::Other(other), other.len_utf8());
            }
        }
    }

    fn push(&mut self, kind: Kind, length: usize) {
        self.found.push(Token { kind, line: self.line });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of a raw string, `r"…"` or `br#"…"#`, if one starts here.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let hashes = text[prefix.len()..].find(|c| c != '#')?;
    let body = prefix.len() + hashes + 1;
    if !text[body - 1..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()))
}

/// Length of what starts here with `quote` and ends with the next one that is not escaped.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

/// Length of a character literal, or of a lifetime's `'`.
fn character(text: &str) -> Option<usize> {
    let mut inside = text.strip_prefix('\'')?.chars();
    let is_literal = match inside.next() {
        Some('\\') => true,
        _ => inside.next() == Some('\''),
    };
    Some(if is_literal { quoted(text, '\'') } else { 1 })
}

/// Everything but the items that `#[cfg(test)]` stands before, and those items.
fn split(all: &[Token]) -> (Vec<Token>, Vec<&[Token]>) {
    let (mut kept, mut tests) = (Vec::new(), Vec::new());
    let mut rest = all;
    while let Some((first, others)) = rest.split_first() {
        if is_cfg_test(rest) {
            let (test, after) = rest.split_at(item(rest));
            tests.push(test);
            rest = after;
        } else {
            kept.push(first.clone());
            rest = others;
        }
    }
    (kept, tests)
}

fn is_cfg_test(tokens: &[Token]) -> bool {
    let wanted = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.len() >= wanted.len()
        && tokens.iter().zip(wanted).all(|(token, wanted)| match &token.kind {
            Kind::Word(word) => word == wanted,
            Kind::Other(other) => wanted.chars().eq([*other]),
            Kind::Separator => false,
        })
}

/// Tokens up to the end of an item: its block, or its semicolon.
fn item(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.is('{') || token.is('[') || token.is('(') {
            depth += 1;
        } else if token.is('}') || token.is(']') || token.is(')') {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 && (token.is(';') || token.is('}')) {
            return at + 1;
        }
    }
    tokens.len()
}
