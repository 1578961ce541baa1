//! A manifest that somebody writes into a form, as JSON or YAML, and what is wrong with it, at its line.

use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::{
    domain::{events::EventCatalog, manifest::Manifest},
    rest::Problem,
};

/// What was written, and what is wrong with it.
pub(super) struct Written {
    text: String,
    faults: Vec<Fault>,
}

struct Fault {
    /// The line, counted from 1, where it can be told.
    line: Option<usize>,
    words: String,
}

impl Written {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), faults: Vec::new() }
    }

    /// The manifest, if it is one. Otherwise it has faults from now on.
    pub(super) fn read(&mut self) -> Option<Map<String, Value>> {
        let is_json = self.text.trim_start().starts_with('{');
        let read = if is_json { self.json() } else { self.yaml() };
        let read = read.and_then(|value| match value {
            Value::Object(object) => Ok(object),
            _ => Err(Fault { line: Some(1), words: "It must be an object: names with values.".to_owned() }),
        });
        let object = read.map_err(|fault| self.faults.push(fault)).ok()?;
        // Which events there are is known to the server.
        if let Err(error) = Manifest::from_value(Value::Object(object.clone()), &EventCatalog::any()) {
            self.blame_all(error.violations.iter().map(|one| (&*one.field, &*one.description)), &error.message);
            return None;
        }
        Some(object)
    }

    /// The service has refused it for this.
    pub(super) fn refuse(&mut self, problem: &Problem) {
        self.blame_all(problem.violations(), problem.message());
    }

    /// These fields are at fault, or else what the message says.
    fn blame_all<'a>(&mut self, violations: impl Iterator<Item = (&'a str, &'a str)>, message: &str) {
        violations.for_each(|(field, description)| self.blame(field, description));
        if self.faults.is_empty() {
            self.faults.push(Fault { line: None, words: message.to_owned() });
        }
    }

    fn json(&self) -> Result<Value, Fault> {
        serde_json::from_str(&self.text)
            .map_err(|error| Fault { line: Some(error.line()), words: format!("It is not JSON: {error}.") })
    }

    fn yaml(&self) -> Result<Value, Fault> {
        serde_saphyr::from_str(&self.text).map_err(|error| {
            let line = error.location().map(|location| location.line() as usize);
            let words = error.to_string();
            Fault { line, words: format!("It is not YAML: {}.", words.lines().next().unwrap_or_default()) }
        })
    }

    /// A field is at fault; its line is the one where its name stands.
    fn blame(&mut self, field: &str, description: &str) {
        let path = field.trim_start_matches("manifest.");
        let is_index = |part: &&str| !part.is_empty() && !part.bytes().all(|byte| byte.is_ascii_digit());
        let names = path.split(['.', '[', ']']).filter(is_index);
        let line = names.fold(None, |after, name| self.line_of(name, after.unwrap_or(0)).or(after));
        self.faults.push(Fault { line, words: format!("{path}: {description}.") });
    }

    /// The first line from this one on, counted from 1, that a value of this name begins on.
    fn line_of(&self, name: &str, from: usize) -> Option<usize> {
        let begins = |line: &str| {
            let rest = line.trim_start_matches([' ', '\t', '-', '{', ',', '"', '\'']).strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
        };
        let from = from.saturating_sub(1);
        self.text.lines().skip(from).position(begins).map(|line| line + from + 1)
    }
}

/// The field that a manifest is written into, with its faults.
pub(super) fn field(written: &Written) -> Markup {
    let is_faulty = !written.faults.is_empty();
    html! {
        label for="manifest-text" { "Manifest " small { "JSON or YAML" } }
        @if is_faulty { div #manifest-faults role="alert" { @for fault in &written.faults { (shown(fault, &written.text)) } } }
        textarea #manifest-text name="manifest" required spellcheck="false" rows="18"
            aria-invalid=[is_faulty.then_some("true")] aria-describedby=[is_faulty.then_some("manifest-faults")] { (written.text) }
    }
}

fn shown(fault: &Fault, text: &str) -> Markup {
    let line = fault.line.and_then(|line| Some((line, text.lines().nth(line.checked_sub(1)?)?)));
    html! {
        p.fault { @if let Some(line) = fault.line { strong { "Line " (line) ". " } } (fault.words) }
        @if let Some((number, line)) = line { pre.line { (number) "  " (crate::domain::text::shorten(line, 200)) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(Option<usize>, String)> {
        let mut written = Written::new(text);
        assert!(written.read().is_none(), "{text}");
        written.faults.into_iter().map(|fault| (fault.line, fault.words)).collect()
    }

    const GOOD: &str = "id: a\nauthor: me\nname: A\n";

    #[test]
    fn json_and_yaml_are_read() {
        assert_eq!(Written::new(GOOD).read().unwrap()["id"], "a");
        assert_eq!(Written::new(r#" {"id": "a", "author": "me", "name": "A"}"#).read().unwrap()["id"], "a");
    }

    #[test]
    fn what_is_neither_is_told_with_its_line() {
        assert_eq!(faults("{\n\"id\": \"a\",\n}")[0].0, Some(3));
        assert!(faults("id: a\nauthor: [\nname: b: c\n")[0].0.is_some());
        assert_eq!(faults("- a\n")[0].0, Some(1));
    }

    #[test]
    fn a_fields_fault_is_told_at_its_line() {
        let found = faults("{\n  \"id\": \"a b\",\n  \"author\": \"me\",\n  \"name\": \"A\"\n}");
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Some(2), "{found:?}");
        let nested =
            format!("{GOOD}configuration_schema:\n  fields:\n    - type: string\n      id: x\n    - type: color\n");
        let found = faults(&nested);
        assert!(found[0].0.is_some_and(|line| line >= 4), "{found:?}");
    }
}
