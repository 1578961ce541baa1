//! The paths that a file names, imports and inline ones alike.

use crate::source::{Kind, Token};

/// One path, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Inline modules around it, outermost first.
    pub(crate) inside: Vec<String>,
}

impl Named {
    /// Whether these segments stand next to each other in it.
    pub(crate) fn contains(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }
}

/// Every path; `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut reader = Reader { tokens, at: 0, depth: 0, modules: Vec::new(), found: Vec::new() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Inline modules that are open, each with the depth of its braces.
    modules: Vec<(usize, String)>,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn step(&mut self) {
        if self.word(self.at).is_some() {
            self.enter_module();
            self.path(&[]);
            return;
        }
        if self.is('{') {
            self.depth += 1;
        } else if self.is('}') {
            self.depth = self.depth.saturating_sub(1);
            self.modules.retain(|(depth, _)| *depth <= self.depth);
        }
        self.at += 1;
    }

    fn enter_module(&mut self) {
        let is_block = self.tokens.get(self.at + 2).is_some_and(|token| token.is('{'));
        if self.word(self.at) == Some("mod")
            && is_block
            && let Some(name) = self.word(self.at + 1)
        {
            self.modules.push((self.depth + 1, name.to_owned()));
        }
    }

    /// Reads a path, and all that its groups name.
    fn path(&mut self, prefix: &[String]) {
        let line = self.tokens[self.at].line;
        let mut segments = prefix.to_vec();
        loop {
            match self.tokens.get(self.at).map(|token| &token.kind) {
                Some(Kind::Word(word)) => segments.push(word.clone()),
                Some(Kind::Other('*')) => segments.push("*".into()),
                Some(Kind::Other('{')) => return self.group(&segments),
                _ => break,
            }
            self.at += 1;
            if self.tokens.get(self.at).is_none_or(|token| token.kind != Kind::Separator) {
                break;
            }
            self.at += 1;
        }
        let inside = self.modules.iter().map(|(_, name)| name.clone()).collect();
        self.found.push(Named { segments, line, inside });
    }

    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is('}') {
            if self.word(self.at) == Some("as") {
                self.at += 2;
            } else if self.word(self.at).is_some() || self.is('{') || self.is('*') {
                self.path(prefix);
            } else {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn word(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).and_then(Token::word)
    }

    fn is(&self, character: char) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(character))
    }
}
