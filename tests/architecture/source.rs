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
}

impl Source {
    /// Reads a file's text.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let all = tokens(text);
        let shipped = if is_test_file(path) { Vec::new() } else { without_tests(&all) };
        Self { path: path.to_owned(), all, shipped }
    }
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name == "tests" || name.ends_with("_tests") || path.components().any(|part| part.as_os_str() == "tests")
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

/// Cuts out each item that `#[cfg(test)]` stands before.
fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if is_cfg_test(&all[at..]) {
            at += item(&all[at..]);
        } else {
            kept.push(all[at].clone());
            at += 1;
        }
    }
    kept
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
